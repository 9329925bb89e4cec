//! Files of all kinds, good and bad → articles and messages.

use rasid::article::Article;
use rasid::error::Error;
use rasid::read::{InputFormat, ReadOptions, articles};
use std::fs;
use std::io::Write;
use std::path::Path;

const TEXT: &str = "أعلنت خلية الإعلام الأمني، اليوم، مقتل ثلاثة من عناصر «داعش» في ديالى.";

/// What the inputs of a folder give: articles, and messages in which the folder's name is left out.
fn read(folder: &Path, inputs: &[&str], options: &ReadOptions) -> Vec<Result<Article, String>> {
    let inputs: Vec<String> = inputs.iter().map(|input| folder.join(input).display().to_string()).collect();
    let without_folder = |text: String| text.replace(&format!("{}/", folder.display()), "");
    articles(&inputs, options)
        .unwrap()
        .map(|article| match article {
            Ok(article) => Ok(Article { source: without_folder(article.source), ..article }),
            Err(error) => Err(without_folder(error.to_string())),
        })
        .collect()
}

fn read_one(name: &str, bytes: &[u8]) -> Vec<Result<Article, String>> {
    read_with(name, bytes, &ReadOptions::default())
}

fn read_with(name: &str, bytes: &[u8], options: &ReadOptions) -> Vec<Result<Article, String>> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), bytes).unwrap();
    read(folder.path(), &[name], options)
}

fn message(name: &str, bytes: &[u8]) -> String {
    let mut found = read_one(name, bytes);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0).unwrap_err()
}

fn article(id: &str, source: &str, title: Option<&str>, text: &str) -> Result<Article, String> {
    Ok(Article { id: id.into(), source: source.into(), title: title.map(String::from), text: text.into() })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn utf_16(text: &str) -> Vec<u8> {
    std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

#[test]
fn plain_text_in_every_encoding_and_packing() {
    let windows_1256 = encoding_rs::WINDOWS_1256.encode(TEXT).0.into_owned();
    for bytes in [TEXT.as_bytes().to_vec(), format!("\u{feff}{TEXT}").into_bytes(), utf_16(TEXT), windows_1256] {
        for (name, bytes) in
            [("a.txt", bytes.clone()), ("a.txt.gz", gzip(&bytes)), ("a.zst", zstd(&bytes)), ("a", bytes)]
        {
            assert_eq!(read_one(name, &bytes), [article("a", name, None, TEXT)], "{name}");
        }
    }
}

#[test]
fn records_of_jsonl_csv_and_tsv() {
    let jsonl = format!("{{\"id\":7,\"title\":\"عنوان\",\"text\":\"{TEXT}\"}}\n\n{{\"text\":\"ثان\",\"title\":null}}");
    let csv = format!("id,text,title\r\n7,\"{TEXT}\nسطر\",عنوان\r\n,ثان,\r\n");
    let expected = |name: &str, lines: [usize; 2], text: &str| {
        [
            article("7", &format!("{name}#{}", lines[0]), Some("عنوان"), text),
            article(&format!("a#{}", lines[1]), &format!("{name}#{}", lines[1]), None, "ثان"),
        ]
    };
    for bytes in [jsonl.clone().into_bytes(), utf_16(&jsonl)] {
        assert_eq!(read_one("a.jsonl", &bytes), expected("a.jsonl", [1, 3], TEXT));
        assert_eq!(read_one("a", &gzip(&bytes)), expected("a", [1, 3], TEXT));
    }
    let windows_1256 = encoding_rs::WINDOWS_1256.encode(&csv).0.into_owned();
    let tsv = csv.replace(',', "\t").replace('\u{60c}', ",");
    for (name, bytes) in [
        ("a.csv", csv.clone().into_bytes()),
        ("a.csv", csv.replace(',', ";").into_bytes()),
        ("a.csv", format!("\u{feff}{csv}").into_bytes()),
        ("a.csv", utf_16(&csv)),
        ("a.csv", windows_1256),
        ("a.csv.zst", zstd(csv.as_bytes())),
    ] {
        assert_eq!(read_one(name, &bytes), expected(name, [2, 4], &format!("{TEXT}\nسطر")), "{name}");
    }
    let commas = TEXT.replace('\u{60c}', ",");
    assert_eq!(read_one("a.tsv", tsv.as_bytes()), expected("a.tsv", [2, 4], &format!("{commas}\nسطر")));
}

#[test]
fn other_fields_and_a_format_that_is_asked_for() {
    let options = ReadOptions {
        format: Some(InputFormat::Jsonl),
        text_field: "body".into(),
        title_field: "head".into(),
        id_field: "nr".into(),
        ..ReadOptions::default()
    };
    let found = read_with("a.txt", b"{\"body\":\"x\",\"head\":\"h\",\"nr\":\"n\"}", &options);
    assert_eq!(found, [article("n", "a.txt#1", Some("h"), "x")]);
    let options = ReadOptions { format: Some(InputFormat::Text), ..ReadOptions::default() };
    assert_eq!(read_with("a.html", b"<p>x", &options), [article("a", "a.html", None, "<p>x")]);
}

#[test]
fn web_pages_give_headline_and_main_text() {
    let page = include_str!("fixtures/reading/page.html");
    let windows_1256 = encoding_rs::WINDOWS_1256.encode(&page.replace("utf-8", "windows-1256")).0.into_owned();
    for (name, bytes) in [("page.html", page.as_bytes()), ("page", page.as_bytes()), ("page.html", &windows_1256)] {
        let found = read_one(name, bytes).remove(0).unwrap();
        assert_eq!(found.title.as_deref(), Some("مقتل ثلاثة جنود بهجوم لداعش قرب كركوك"));
        let paragraphs: Vec<&str> = found.text.lines().filter(|line| !line.trim().is_empty()).collect();
        assert_eq!(paragraphs.len(), 3, "{paragraphs:#?}");
        assert!(paragraphs[0].starts_with("أفاد مصدر أمني") && paragraphs[2].contains("المحيطة. ولم تعلن أي جهة"));
    }
    let small =
        read_one("small.html", b"<html><head><title>Small</title></head><body><p>Three men died.</p></body></html>");
    let small = small[0].as_ref().unwrap();
    assert_eq!((small.title.as_deref(), small.text.trim()), (Some("Small"), "Three men died."));
    let deep = format!("{}<p>Three men died.</p>", "<div>".repeat(900));
    assert!(read_one("deep.html", deep.as_bytes())[0].is_ok());
}

#[test]
fn bad_files_are_told_with_their_place_and_the_way_out() {
    let text_expected = "expected text in UTF-8, UTF-16 or Windows-1256";
    let way_out = "--input-format text reads the markup as it stands";
    let broken = [TEXT.as_bytes(), b"\xff", TEXT.as_bytes()].concat();
    let page = |body: &str| format!("<!doctype html><html><body>{body}</body></html>");
    let cases: Vec<(&str, Vec<u8>, String)> = vec![
        ("a.txt", b"".to_vec(), "a.txt: an empty article; expected text".into()),
        ("a.txt", " \n\u{a0}\t".into(), "a.txt: an empty article; expected text".into()),
        ("a.html", b" \n".to_vec(), "a.html: an empty article; expected text".into()),
        ("a.txt", broken, format!("a.txt byte {}: byte 0xff that is not UTF-8; {text_expected}", TEXT.len())),
        ("a.txt", b"abc\0def".to_vec(), format!("a.txt byte 3: a nul byte; {text_expected}")),
        (
            "a.png",
            b"\x89PNG\r\n\x1a\n".to_vec(),
            format!("a.png byte 0: a PNG image, beginning with [89, 50, 4e, 47, 0d, 0a]; {text_expected}"),
        ),
        ("a.txt.gz", gzip(TEXT.as_bytes())[..40].to_vec(), "a.txt.gz: the gzip data ends early; expected a whole gzip file".into()),
        ("a.txt.zst", zstd(TEXT.as_bytes())[..40].to_vec(), "a.txt.zst: the zstd data ends early; expected a whole zstd file".into()),
        ("a.jsonl", b"".to_vec(), "a.jsonl: no record; expected one JSON object a line".into()),
        (
            "a.json",
            b"{\n\"text\":\"x\"}".to_vec(),
            "a.json line 1: no JSON object (EOF while parsing an object at column 1); expected one JSON object a line; jq -c writes JSON in this form".into(),
        ),
        (
            "a.jsonl",
            b"{\"id\":1,\"txt\":\"x\"}".to_vec(),
            "a.jsonl line 1: no \"text\" among \"id\", \"txt\"; expected \"text\" with the text; is it \"txt\"? --text-field txt reads it".into(),
        ),
        ("a.jsonl", b"{\"text\":[\"x\"]}".to_vec(), "a.jsonl line 1: field \"text\" is a list; expected a string".into()),
        ("a.jsonl", b"{\"text\":\" \"}".to_vec(), "a.jsonl line 1: an empty article; expected text".into()),
        ("a.jsonl", b"{\"text\":\"a\\u0000b\"}".to_vec(), "a.jsonl line 1: a nul character; expected text".into()),
        (
            "a.csv",
            b"id,body\n1,x\n".to_vec(),
            "a.csv line 1: no \"text\" among \"id\", \"body\"; expected \"text\" with the text; --text-field names another".into(),
        ),
        ("a.csv", b"".to_vec(), "a.csv: no row; expected a first row that names the columns".into()),
        ("a.csv", b"id,text\n".to_vec(), "a.csv: no row below the first; expected one article a row".into()),
        ("a.csv", b"text\n\"\"\n".to_vec(), "a.csv line 2: an empty article; expected text".into()),
        (
            "a.csv",
            "text\nقال \u{fffd}".replace('\u{fffd}', "x").into_bytes().into_iter().chain([0xff, b'\n']).collect(),
            format!("a.csv line 2: byte 0xff that is not UTF-8 (byte 8 of the field); {text_expected}"),
        ),
        (
            "a.html",
            page("<script>x</script>").into_bytes(),
            format!("a.html: a page without text; expected an article; {way_out}"),
        ),
        (
            "a.html",
            page(&"<div>".repeat(100_000)).into_bytes(),
            format!("a.html: elements more than 1000 deep in each other; expected a web page with an article; {way_out}"),
        ),
    ];
    for (name, bytes, expected) in cases {
        assert_eq!(message(name, &bytes), expected);
    }
    let options = ReadOptions { max_article_bytes: 100, ..ReadOptions::default() };
    let found = read_with("a.txt", &b"x".repeat(101), &options);
    let too_long = "a.txt: an article of more than 100 bytes; expected shorter articles, so that memory stays bounded; \
                    --max-article-bytes raises the limit";
    assert_eq!(found, [Err(too_long.into())]);
    assert!(read_with("a.txt", &b"x".repeat(100), &options)[0].is_ok());
}

#[test]
fn one_bad_record_does_not_stop_the_others() {
    let mut lines: Vec<String> = (1..=20).map(|i| format!("{{\"id\":{i},\"text\":\"خبر\"}}")).collect();
    lines[16] = "{\"id\":17,\"text\":\"خب".into();
    let found = read_one("a.jsonl", lines.join("\n").as_bytes());
    assert_eq!(found.len(), 20);
    for (i, article) in found.iter().enumerate() {
        match article {
            Ok(article) => assert_eq!(article.id, (i + 1).to_string()),
            Err(message) => {
                assert_eq!(i, 16);
                assert!(
                    message.starts_with("a.jsonl line 17: no JSON object (EOF while parsing a string"),
                    "{message}"
                );
            }
        }
    }
    let broken =
        [b"{\"text\":\"a\"}\n{\"text\":\"".as_slice(), "قال المتحدث".as_bytes(), b"\xff\"}\n{\"text\":\"b\"}"].concat();
    let found = read_one("a.jsonl", &broken);
    assert!(found[0].is_ok() && found[2].is_ok() && found.len() == 3);
    assert!(found[1].as_ref().unwrap_err().starts_with("a.jsonl line 2 byte 43: byte 0xff"), "{:?}", found[1]);

    let found = read_one("a.csv", b"id,text\n1,a\n2,b,c\n3,d\n");
    let expected =
        "a.csv line 3: 3 columns; expected 2, as in the first row; text with separators or line breaks needs quotes";
    assert_eq!(found[1], Err(expected.into()));
    assert!(found[0].is_ok() && found[2].is_ok() && found.len() == 3);
}

#[test]
fn what_stands_before_the_cut_of_a_packed_stream_is_kept() {
    let lines: String =
        (0..20_000).map(|i| format!("{{\"id\":{i},\"text\":\"خبر {}\"}}\n", i * 7919 % 10_007)).collect();
    for (name, packed) in [("a.jsonl.gz", gzip(lines.as_bytes())), ("a.jsonl.zst", zstd(lines.as_bytes()))] {
        assert_eq!(read_one(name, &packed).iter().filter(|article| article.is_ok()).count(), 20_000);
        let found = read_one(name, &packed[..packed.len() / 2]);
        let (last, kept) = found.split_last().unwrap();
        assert!(kept.len() > 1_000 && kept.iter().all(Result::is_ok), "{name}: {}", kept.len());
        assert!(last.as_ref().unwrap_err().contains("data ends early; expected a whole"), "{last:?}");
        let mut damaged = packed.clone();
        let half = damaged.len() / 2;
        damaged[half..half + 64].fill(0xaa);
        assert!(read_one(name, &damaged).iter().any(Result::is_err));
    }
}

#[test]
fn a_line_or_row_of_200_mb_is_an_error_and_is_never_held() {
    let folder = tempfile::tempdir().unwrap();
    let flood = |name: &str, before: &str, after: &str| {
        let file = fs::File::create(folder.path().join(name)).unwrap();
        let mut packed = zstd::Encoder::new(file, 1).unwrap();
        packed.write_all(before.as_bytes()).unwrap();
        for _ in 0..200 {
            packed.write_all(&[b'x'; 1 << 20]).unwrap();
        }
        packed.write_all(after.as_bytes()).unwrap();
        packed.finish().unwrap();
    };
    flood("a.jsonl.zst", "{\"text\":\"a\"}\n{\"text\":\"", "\"}\n{\"text\":\"b\"}\n");
    flood("b.csv.zst", "text\na\n\"", "");
    flood("c.txt.zst", "", "");
    let found = read(folder.path(), &["a.jsonl.zst", "b.csv.zst", "c.txt.zst"], &ReadOptions::default());
    let told: Vec<String> = found
        .iter()
        .map(|article| article.as_ref().map_or_else(Clone::clone, |article| article.text.clone()))
        .collect();
    let limit = "of more than 16777216 bytes; expected shorter articles, so that memory stays bounded; --max-article-bytes raises the limit";
    let expected = [
        "a".into(),
        format!("a.jsonl.zst line 2: a line {limit}"),
        "b".into(),
        "a".into(),
        format!("b.csv.zst: a row {limit}"),
        format!("c.txt.zst: an article {limit}"),
    ];
    assert_eq!(told, expected);
    // the peak of the whole test process, where the system tells it
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak_kb: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(peak_kb < 180_000, "{peak_kb} kB were held");
    }
}

#[test]
fn names_that_lead_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    fs::write(folder.path().join("empty/a.png"), b"\x89PNG\r\n").unwrap();
    fs::write(folder.path().join("good.txt"), TEXT).unwrap();
    let found = read(folder.path(), &["missing.txt", "empty", "*.pdf", "good.txt"], &ReadOptions::default());
    let expected = [
        Err("missing.txt: no such file or folder; expected a name that exists".to_string()),
        Err("empty: a folder without articles; expected files with text, HTML, JSONL, CSV or TSV".into()),
        Err("*.pdf: nothing matches; expected a pattern that matches files".into()),
        article("good", "good.txt", None, TEXT),
    ];
    assert_eq!(found, expected);
    assert!(matches!(articles(&[], &ReadOptions::default()), Err(Error::Usage(_))));
}

#[test]
fn folders_give_their_articles_and_pass_over_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let files: [(&str, &[u8]); 8] = [
        ("b/2.txt", TEXT.as_bytes()),
        ("a/1.jsonl", b"{\"text\":\"x\"}"),
        ("a/logo.png", b"\x89PNG\r\n"),
        ("a/unknown.bin", b"\x00\x01\x02"),
        ("a/style.css", b"p { margin: 0 }"),
        ("a/.hidden.txt", b"x"),
        ("c/empty.txt", b""),
        ("c/no_ending", TEXT.as_bytes()),
    ];
    for (path, bytes) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let found = read(folder.path(), &["."], &ReadOptions::default());
    let told: Vec<String> =
        found.into_iter().map(|article| article.map_or_else(|error| error, |article| article.source)).collect();
    let told: Vec<&str> = told.iter().map(|told| told.trim_start_matches("./")).collect();
    assert_eq!(told, ["a/1.jsonl#1", "b/2.txt", "c/empty.txt: an empty article; expected text", "c/no_ending"]);
}

#[cfg(unix)]
#[test]
fn an_unreadable_file_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.txt");
    fs::write(&path, TEXT).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // the superuser reads everything
    if fs::File::open(&path).is_err() {
        let found = read(folder.path(), &["a.txt"], &ReadOptions::default());
        assert_eq!(found, [Err("could not read a.txt: Permission denied (os error 13)".to_string())]);
    }
}
