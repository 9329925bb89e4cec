//! Every output format from one literal article: Arabic with a Latin name, a group, a front name, markup to escape.

use rasid::article::{Article, Field, GroupMatch, Prediction, Sentence, Span, Tag, TaggedArticle, TaggedSentence};
use rasid::report::csv::Csv;
use rasid::report::html::Html;
use rasid::report::jsonl::Jsonl;
use rasid::report::table::{Layout, Table};
use rasid::report::{Context, ModelName, Report};
use rasid::schema::Schema;
use std::io::Cursor;
use std::path::Path;

const TITLE: &str = "ISIS تهاجم \"نقطة\" <غربي> الحويجة";
const TEXT: &str = "قتل مسلحو داعش جنديين، وفق وكالة AP.\nوهددت سرايا أولياء الدم بالرد.";

fn tagged() -> TaggedArticle {
    let sentence = |field, text: &str, words: &str, [incident, perpetrator]: [&[f32]; 2]| {
        let start = text.find(words).unwrap();
        let tags = [incident, perpetrator].map(|p| Tag::from_probabilities(p.to_vec())).into();
        TaggedSentence {
            sentence: Sentence { field, span: Span { start, end: start + words.len() } },
            prediction: Prediction { tags, truncated: false },
            groups: Vec::new(),
            terms: Vec::new(),
            abstained: false,
        }
    };
    let group = |text: &str, matched: &str, [id, name, kind]: [&str; 3], parent: Option<&str>| {
        let start = text.find(matched).unwrap();
        GroupMatch {
            id: id.into(),
            name: name.into(),
            kind: kind.into(),
            parent: parent.map(String::from),
            span: Span { start, end: start + matched.len() },
            matched: matched.into(),
        }
    };
    let (first, second) = TEXT.split_once('\n').unwrap();
    let mut sentences = vec![
        sentence(
            Field::Title,
            TITLE,
            TITLE,
            [&[0.9996, 0.0002, 0.0001, 0.0001], &[0.9, 0.05, 0.0, 0.0, 0.0, 0.05, 0.0]],
        ),
        sentence(Field::Text, TEXT, first, [&[0.75, 0.125, 0.0625, 0.0625], &[0.875, 0.0, 0.0, 0.0, 0.0, 0.125, 0.0]]),
        sentence(Field::Text, TEXT, second, [&[0.0, 0.25, 0.5, 0.25], &[0.0, 0.9375, 0.0, 0.0, 0.0, 0.0, 0.0625]]),
    ];
    let islamic_state = ["islamic_state", "Islamic State", "network"];
    sentences[0].groups = vec![group(TITLE, "ISIS", islamic_state, None)];
    sentences[1].groups = vec![group(TEXT, "داعش", islamic_state, None)];
    let front = ["saraya_awliya_al_dam", "Saraya Awliya al-Dam", "front_name"];
    sentences[2].groups = vec![group(TEXT, "سرايا أولياء الدم", front, Some("kataib_hezbollah"))];
    sentences[2].abstained = true;
    sentences[2].prediction.truncated = true;
    let article =
        Article { id: "7".into(), source: "feed.jsonl#1".into(), title: Some(TITLE.into()), text: TEXT.into() };
    TaggedArticle { article, language: "ar".into(), sentences }
}

fn context(only: &[usize]) -> Context {
    Context {
        schema: Schema::read(Path::new("labels/schema.toml")).unwrap(),
        model: ModelName { name: "tiny".into(), sha256: Some("00ff".into()) },
        min_confidence: 0.6,
        only: only.to_vec(),
        explain: false,
    }
}

fn written(mut report: impl Report) -> String {
    let mut out = Vec::new();
    report.begin(&mut out).unwrap();
    report.article(&tagged(), &mut out).unwrap();
    report.end(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn html(only: &[usize]) -> String {
    written(Html::new(context(only), Box::new(Cursor::new(Vec::new()))))
}

#[test]
fn json_lines() {
    insta::assert_snapshot!(written(Jsonl::new(context(&[]))), @r##"
{"schema_version":1,"article_id":"7","source":"feed.jsonl#1","title":"ISIS تهاجم \"نقطة\" <غربي> الحويجة","language":"ar","sentence_index":0,"field":"title","start":0,"end":52,"text":"ISIS تهاجم \"نقطة\" <غربي> الحويجة","incident":{"label":"is_attack","confidence":0.9996,"probabilities":{"is_attack":0.9996,"militia_attack":0.0002,"policy_statement":0.0001,"other":0.0001}},"perpetrator":{"label":"islamic_state","confidence":0.9,"probabilities":{"islamic_state":0.9,"militia":0.05,"iran":0.0,"coalition":0.0,"other_actor":0.0,"unidentified":0.05,"none":0.0},"groups":[{"id":"islamic_state","name":"Islamic State","kind":"network","parent":null,"start":0,"end":4,"matched":"ISIS"}]},"abstained":false,"truncated":false,"model":{"name":"tiny","sha256":"00ff"}}
{"schema_version":1,"article_id":"7","source":"feed.jsonl#1","title":"ISIS تهاجم \"نقطة\" <غربي> الحويجة","language":"ar","sentence_index":1,"field":"text","start":0,"end":63,"text":"قتل مسلحو داعش جنديين، وفق وكالة AP.","incident":{"label":"is_attack","confidence":0.75,"probabilities":{"is_attack":0.75,"militia_attack":0.125,"policy_statement":0.0625,"other":0.0625}},"perpetrator":{"label":"islamic_state","confidence":0.875,"probabilities":{"islamic_state":0.875,"militia":0.0,"iran":0.0,"coalition":0.0,"other_actor":0.0,"unidentified":0.125,"none":0.0},"groups":[{"id":"islamic_state","name":"Islamic State","kind":"network","parent":null,"start":18,"end":26,"matched":"داعش"}]},"abstained":false,"truncated":false,"model":{"name":"tiny","sha256":"00ff"}}
{"schema_version":1,"article_id":"7","source":"feed.jsonl#1","title":"ISIS تهاجم \"نقطة\" <غربي> الحويجة","language":"ar","sentence_index":2,"field":"text","start":64,"end":119,"text":"وهددت سرايا أولياء الدم بالرد.","incident":{"label":"policy_statement","confidence":0.5,"probabilities":{"is_attack":0.0,"militia_attack":0.25,"policy_statement":0.5,"other":0.25}},"perpetrator":{"label":"militia","confidence":0.9375,"probabilities":{"islamic_state":0.0,"militia":0.9375,"iran":0.0,"coalition":0.0,"other_actor":0.0,"unidentified":0.0,"none":0.0625},"groups":[{"id":"saraya_awliya_al_dam","name":"Saraya Awliya al-Dam","kind":"front_name","parent":"kataib_hezbollah","start":75,"end":107,"matched":"سرايا أولياء الدم"}]},"abstained":true,"truncated":true,"model":{"name":"tiny","sha256":"00ff"}}
"##);
}

#[test]
fn csv() {
    insta::assert_snapshot!(written(Csv::new(context(&[]))), @r##"
schema_version,article_id,source,title,language,sentence_index,field,start,end,text,incident,incident_confidence,incident_p_is_attack,incident_p_militia_attack,incident_p_policy_statement,incident_p_other,perpetrator,perpetrator_confidence,perpetrator_p_islamic_state,perpetrator_p_militia,perpetrator_p_iran,perpetrator_p_coalition,perpetrator_p_other_actor,perpetrator_p_unidentified,perpetrator_p_none,group_names,groups,abstained,truncated,model_name,model_sha256
1,7,feed.jsonl#1,"ISIS تهاجم ""نقطة"" <غربي> الحويجة",ar,0,title,0,52,"ISIS تهاجم ""نقطة"" <غربي> الحويجة",is_attack,0.9996,0.9996,0.0002,0.0001,0.0001,islamic_state,0.9,0.9,0.05,0,0,0,0.05,0,Islamic State,"[{""id"":""islamic_state"",""name"":""Islamic State"",""kind"":""network"",""parent"":null,""start"":0,""end"":4,""matched"":""ISIS""}]",false,false,tiny,00ff
1,7,feed.jsonl#1,"ISIS تهاجم ""نقطة"" <غربي> الحويجة",ar,1,text,0,63,قتل مسلحو داعش جنديين، وفق وكالة AP.,is_attack,0.75,0.75,0.125,0.0625,0.0625,islamic_state,0.875,0.875,0,0,0,0,0.125,0,Islamic State,"[{""id"":""islamic_state"",""name"":""Islamic State"",""kind"":""network"",""parent"":null,""start"":18,""end"":26,""matched"":""داعش""}]",false,false,tiny,00ff
1,7,feed.jsonl#1,"ISIS تهاجم ""نقطة"" <غربي> الحويجة",ar,2,text,64,119,وهددت سرايا أولياء الدم بالرد.,policy_statement,0.5,0,0.25,0.5,0.25,militia,0.9375,0,0.9375,0,0,0,0,0.0625,Saraya Awliya al-Dam,"[{""id"":""saraya_awliya_al_dam"",""name"":""Saraya Awliya al-Dam"",""kind"":""front_name"",""parent"":""kataib_hezbollah"",""start"":75,""end"":107,""matched"":""سرايا أولياء الدم""}]",true,true,tiny,00ff
"##);
}

#[test]
fn a_piped_table_is_clean_text() {
    insta::assert_snapshot!(written(Table::new(context(&[]), Layout::default())), @r##"
feed.jsonl#1  ar, 3 sentences
   0  is_attack >99 %  islamic_state 90 %
      ISIS تهاجم "نقطة" <غربي> الحويجة
      └ Islamic State (network): ISIS
   1  is_attack 75 %  islamic_state 88 %
      قتل مسلحو داعش جنديين، وفق وكالة AP.
      └ Islamic State (network): داعش
   2  policy_statement 50 %  militia 94 %  abstained  truncated
      وهددت سرايا أولياء الدم بالرد.
      └ Saraya Awliya al-Dam (front_name, of kataib_hezbollah): سرايا أولياء الدم

1 article, 3 sentences, 1 abstained (below 60 %), 1 truncated
incident     is_attack 2, militia_attack 0, policy_statement 1, other 0
perpetrator  islamic_state 2, militia 1, iran 0, coalition 0, other_actor 0, unidentified 0, none 0
groups       Islamic State 2, Saraya Awliya al-Dam 1
"##);
}

#[test]
fn a_table_on_a_terminal_is_wrapped_and_sets_right_to_left_lines_flush_right() {
    let layout = Layout { color: true, width: Some(34) };
    // Escape and the two isolates made visible.
    let visible = written(Table::new(context(&[]), layout))
        .replace('\u{1b}', "␛")
        .replace('\u{2067}', "⟨")
        .replace('\u{2069}', "⟩");
    insta::assert_snapshot!(visible, @r##"
␛[1m␛[4mfeed.jsonl#1␛[0m  ar, 3 sentences
   0  ␛[1m␛[97m␛[48;5;160m is_attack ␛[0m >99 %  ␛[1mislamic_state␛[0m 90 %
         ⟨ISIS تهاجم "نقطة" <غربي>⟩
                          ⟨الحويجة⟩
      ␛[2m└ Islamic State (network):␛[0m
      ␛[2mISIS␛[0m
   1  ␛[1m␛[97m␛[48;5;160m is_attack ␛[0m 75 %  ␛[1mislamic_state␛[0m 88 %
       ⟨قتل مسلحو داعش جنديين، وفق⟩
                        ⟨وكالة AP.⟩
      ␛[2m└ Islamic State (network):␛[0m
      ␛[2mداعش␛[0m
   2  ␛[1m␛[97m␛[48;5;25m policy_statement ␛[0m 50 %  ␛[1mmilitia␛[0m 94 %  ␛[3mabstained␛[0m  ␛[3mtruncated␛[0m
          ⟨وهددت سرايا أولياء الدم⟩
                           ⟨بالرد.⟩
      ␛[2m└ Saraya Awliya al-Dam␛[0m
      ␛[2m(front_name, of␛[0m
      ␛[2mkataib_hezbollah): سرايا␛[0m
      ␛[2mأولياء الدم␛[0m

1 article, 3 sentences, 1 abstained (below 60 %), 1 truncated
incident     is_attack 2,
             militia_attack 0,
             policy_statement 1,
             other 0
perpetrator  islamic_state 2,
             militia 1, iran 0,
             coalition 0,
             other_actor 0,
             unidentified 0,
             none 0
groups       Islamic State 2,
             Saraya Awliya al-Dam
              1
"##);
}

/// The whole page lies in a file that a browser opens; `UPDATE_GOLDEN=1 cargo test` writes it anew.
#[test]
fn the_html_page() {
    let path = Path::new("tests/fixtures/report/page.html");
    let page = html(&[]);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    assert!(page == std::fs::read_to_string(path).unwrap(), "the page differs from {}", path.display());
}

#[test]
fn the_page_needs_nothing_from_outside_and_escapes_what_articles_say() {
    let page = html(&[]);
    for foreign in ["http:", "https:", "<script", " src=", "url(", "@import", "<غربي>"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.contains("&quot;نقطة&quot; &lt;غربي&gt;"));
    assert!(page.contains("dir=\"rtl\""));
    // Every element that is opened is closed.
    for element in
        ["div", "span", "article", "ul", "li", "dl", "details", "section", "fieldset", "mark", "u", "p", "h2"]
    {
        let opened = page.matches(&format!("<{element}>")).count() + page.matches(&format!("<{element} ")).count();
        assert_eq!(opened, page.matches(&format!("</{element}>")).count(), "{element}");
    }
}

#[test]
fn only_keeps_the_index_that_a_sentence_has_in_its_article() {
    let line = written(Jsonl::new(context(&[2])));
    let sentence: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&sentence["sentence_index"], &sentence["incident"]["label"]), (&2.into(), &"policy_statement".into()));
    let page = html(&[2]);
    assert!(page.contains("id=\"a1s2\"") && !page.contains("id=\"a1s1\""));
    assert!(page.contains("<h2>ISIS"), "the headline stays for orientation");
}

#[test]
fn spans_slice_the_fields_they_name() {
    for line in written(Jsonl::new(context(&[]))).lines() {
        let sentence: serde_json::Value = serde_json::from_str(line).unwrap();
        let field = if sentence["field"] == "title" { TITLE } else { TEXT };
        let slice = |v: &serde_json::Value| {
            field[v["start"].as_u64().unwrap() as usize..v["end"].as_u64().unwrap() as usize].to_string()
        };
        assert_eq!(sentence["text"], slice(&sentence));
        for group in sentence["perpetrator"]["groups"].as_array().unwrap() {
            assert_eq!(group["matched"], slice(group));
        }
    }
}
