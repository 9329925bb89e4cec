//! Pre-training on a handful of lines: it learns, it can be stopped and continued to the byte, and fine-tuning starts from it.

use candle_core::Device;
use rasid::error::Error;
use rasid::model::{Weights, plain};
use rasid::model_dir::BaseFiles;
use rasid::pretrain::PretrainRecipe;
use rasid::pretrain::corpus::{Corpus, load};
use rasid::pretrain::masking::Words;
use rasid::pretrain::run::{PretrainEvent, PretrainOptions, pretrain};
use rasid::pretrain::sampler::{Cursor, Sampler, pair};
use rasid::tokens::corpus::sources;
use rasid::tokens::{Encoded, Tokenizer};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

fn tokenizer() -> Tokenizer {
    Tokenizer::read(Path::new("models/tokenizer/tokenizer.json")).unwrap()
}

fn recipe(steps: u64, precision: &str) -> PretrainRecipe {
    let settings = [
        format!("training.precision={precision}"),
        format!("training.steps={steps}"),
        "training.batch_tokens=120".into(),
        "training.evaluate_every=5".into(),
        "training.learning_rate=1e-2".into(),
        "training.dropout=0.1".into(),
        "data.held_out_lines=2".into(),
        "data.max_tokens=32".into(),
        "model.hidden_size=16".into(),
        "model.intermediate_size=16".into(),
        "model.num_hidden_layers=1".into(),
        "model.num_attention_heads=2".into(),
    ];
    PretrainRecipe::resolve(None, &settings).unwrap()
}

fn corpus(folder: &Path, tokenizer: &Tokenizer, recipe: &PretrainRecipe) -> Corpus {
    let lines = [
        ("ar", "وصل الوفد إلى بغداد مساء اليوم لبحث ملف القوات\nقال المتحدث إن المحادثات ستستمر أسبوعا\n"),
        ("tr", "Heyet akşam saatlerinde Bağdat'a ulaştı\nSözcü görüşmelerin süreceğini söyledi\n"),
    ];
    for (language, text) in lines {
        std::fs::create_dir_all(folder.join(language)).unwrap();
        std::fs::write(folder.join(language).join("a.txt"), text.repeat(30)).unwrap();
    }
    let sources = sources(&[folder.to_path_buf()]).unwrap();
    let first = load(&sources, tokenizer, &recipe.data, &folder.join("cache")).unwrap();
    let second = load(&sources, tokenizer, &recipe.data, &folder.join("cache")).unwrap();
    assert_eq!(first, second, "the cache holds what was tokenized");
    assert!(
        first.train.values().all(|lines| lines.len() == 58) && first.held_out.values().all(|lines| lines.len() == 2)
    );
    first
}

/// Trains into `output`, stopped after `stop_after` steps if that is less than the recipe's; returns loss by step.
fn run(output: &Path, recipe: PretrainRecipe, resume: bool, stop_after: u64, workers: usize) -> Vec<f64> {
    let tokenizer = tokenizer();
    let corpus = corpus(output.parent().unwrap(), &tokenizer, &recipe);
    let sources = ["a".to_string()];
    let output = output.to_path_buf();
    let options = PretrainOptions {
        recipe: &recipe,
        corpus: &corpus,
        tokenizer: &tokenizer,
        sources: &sources,
        start_name: None,
        start: Weights::default(),
        output,
        resume,
        workers,
        device: Device::Cpu,
    };
    let (stop, mut losses) = (AtomicBool::new(false), Vec::new());
    let result = pretrain(&options, &stop, &mut |event| {
        if let PretrainEvent::Step { step, loss, .. } = event {
            losses.push(loss);
            stop.store(step >= stop_after, Ordering::Relaxed);
        }
    });
    match result {
        Err(Error::Interrupted) => assert!(stop_after <= recipe.training.steps),
        other => other.unwrap(),
    }
    losses
}

/// Trains at once on two threads, and in two goes on one; returns the losses.
fn learns_and_goes_on_to_the_same_bytes(precision: &str) -> Vec<f64> {
    let dir = tempfile::tempdir().unwrap();
    let (whole, halved) = (dir.path().join("a/base"), dir.path().join("b/base"));
    let losses = run(&whole, recipe(20, precision), false, u64::MAX, 2);
    assert_eq!(losses.len(), 20);
    assert!(losses[19] < losses[0] - 2.0, "{losses:?}");
    assert_eq!(run(&halved, recipe(20, precision), false, 7, 1).len(), 7);
    let rest = run(&halved, recipe(20, precision), true, u64::MAX, 1);
    assert_eq!(rest, losses[7..]);
    let weights = |base: &Path| std::fs::read(base.join("model.safetensors")).unwrap();
    assert!(weights(&whole) == weights(&halved), "other bytes");
    // A measurement every fifth step, the same after an interruption but for the speed; curves for TensorBoard beside it.
    let metrics = |base: &Path| {
        let text = std::fs::read_to_string(base.with_extension("training").join("metrics.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<serde_json::Value>>()
    };
    let (one, two) = (metrics(&whole), metrics(&halved));
    assert_eq!(one.iter().map(|m| m["step"].as_u64().unwrap()).collect::<Vec<_>>(), [5, 10, 15, 20]);
    for (a, b) in one.iter().zip(&two) {
        for key in ["loss", "learning_rate"] {
            assert!((a[key].as_f64().unwrap() - b[key].as_f64().unwrap()).abs() < 1e-12, "{key}: {a} {b}");
        }
        assert!(a["tokens_per_second"].as_f64().unwrap() > 0.0 && a["perplexity"]["ar"].as_f64().unwrap() > 1.0, "{a}");
    }
    let events: Vec<_> =
        std::fs::read_dir(halved.with_extension("training")).unwrap().map(|e| e.unwrap().path()).collect();
    let events: Vec<_> = events.iter().filter(|p| p.to_string_lossy().contains("tfevents")).collect();
    assert!(!events.is_empty());
    let curves: Vec<u8> = events.iter().flat_map(|path| std::fs::read(path).unwrap()).collect();
    for tag in ["train/loss", "train/learning_rate", "train/tokens_per_second", "perplexity/ar", "perplexity/tr"] {
        assert!(curves.windows(tag.len()).any(|w| w == tag.as_bytes()), "{tag}");
    }
    let BaseFiles { config, weights: base, .. } = rasid::model_dir::open_base(&whole).unwrap();
    assert_eq!(config.encoder.hidden_size, 16);
    assert!(base.0.contains_key("layers.0.attn.Wqkv.weight"));
    losses
}

#[test]
fn it_learns_and_a_stopped_run_goes_on_to_the_same_bytes_on_any_number_of_threads() {
    learns_and_goes_on_to_the_same_bytes("f32");
}

#[test]
fn on_a_device_without_kernels_it_learns_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let mut recipe = recipe(20, "f32");
    recipe.training.shards = 1; // such a device gets a batch as a whole
    let here = run(&dir.path().join("a/base"), recipe.clone(), false, u64::MAX, 1);
    let there = plain::everywhere(|| run(&dir.path().join("b/base"), recipe, false, u64::MAX, 1));
    assert!(here != there, "the kernels were taken");
    for (here, there) in here.iter().zip(&there) {
        assert!((here / there - 1.0).abs() < 1e-3, "{here} and {there}");
    }
}

#[test]
fn so_it_does_in_bf16_with_nearly_the_same_losses() {
    let dir = tempfile::tempdir().unwrap();
    let exact = run(&dir.path().join("base"), recipe(20, "f32"), false, u64::MAX, 2);
    for (rounded, exact) in learns_and_goes_on_to_the_same_bytes("bf16").into_iter().zip(exact) {
        assert!((rounded / exact - 1.0).abs() < 0.01, "{rounded} in bf16, {exact} in f32");
    }
}

#[test]
fn a_cache_file_that_is_cut_off_or_foreign_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (tokenizer, recipe) = (tokenizer(), recipe(1, "f32"));
    let expected = corpus(dir.path(), &tokenizer, &recipe);
    let sources = sources(&[dir.path().join("ar"), dir.path().join("tr")]).unwrap();
    let files = || std::fs::read_dir(dir.path().join("cache")).unwrap().map(|e| e.unwrap().path());
    for damage in [&b"foreign"[..], b"", &[7; 5000]] {
        // As a new file: the old one is still mapped by `expected`.
        for file in files().collect::<Vec<_>>() {
            std::fs::remove_file(&file).unwrap();
            std::fs::write(&file, damage).unwrap();
        }
        let again = load(&sources, &tokenizer, &recipe.data, &dir.path().join("cache")).unwrap();
        assert_eq!(again, expected);
    }
    assert_eq!(files().count(), 2, "one file a language, nothing left half-written");
}

/// Lines of 3 to 15 words, each with its own number: Arabic, and as Turkish would say them.
fn translations() -> (Vec<String>, Vec<String>) {
    let line = |word: &str, i: usize| format!("{}{}", format!("{word} ").repeat(3 + i * 7 % 13), 100 + i);
    (0..120).map(|i| (line("بغداد", i), line("Bağdat", i))).unzip()
}

fn parallel_corpus(folder: &Path, tokenizer: &Tokenizer, share: f64) -> (Corpus, PretrainRecipe) {
    let (ar, tr) = translations();
    let without: Vec<String> = (0..120).filter(|i| ![10, 40, 41].contains(i)).map(|i| tr[i].clone()).collect();
    let unlike: Vec<String> = (0..120).map(|i| format!("{} mots", "Bagdad ".repeat(1 + i * 11 % 29))).collect();
    let files = [
        ("ar", "news", ar.join("\n")),
        ("tr", "news", without.join("\n")),
        ("fr", "news", unlike.join("\n")),
        ("en", "news", ["Baghdad"; 5].join("\n")),
        ("en", "other", ["The delegation arrived in Baghdad in the evening"; 30].join("\n")),
    ];
    for (language, name, text) in files {
        std::fs::create_dir_all(folder.join(language)).unwrap();
        std::fs::write(folder.join(language).join(format!("{name}.txt")), text).unwrap();
    }
    let mut recipe = recipe(1, "f32");
    (recipe.data.parallel, recipe.data.parallel_share) = (vec!["news".into(), "absent".into()], share);
    let sources = sources(&[folder.to_path_buf()]).unwrap();
    let corpus = load(&sources, tokenizer, &recipe.data, &folder.join("cache")).unwrap();
    assert_eq!(corpus, load(&sources, tokenizer, &recipe.data, &folder.join("cache")).unwrap());
    (corpus, recipe)
}

#[test]
fn translations_are_found_though_lines_are_missing_and_what_is_held_out_is_not_among_them() {
    let (dir, tokenizer) = (tempfile::tempdir().unwrap(), tokenizer());
    let (corpus, _) = parallel_corpus(dir.path(), &tokenizer, 0.5);
    let (ar, tr) = translations();
    let parallel = &corpus.parallel;
    let mut held_out = 0;
    for i in 0..120 {
        let ids = |line: &str| tokenizer.text_ids(line).unwrap();
        let expected = [("ar", ids(&ar[i])), ("tr", ids(&tr[i]))];
        let versions = |s: usize| (0..parallel.n_versions(s)).map(|v| parallel.version(s, v)).collect::<Vec<_>>();
        let found = (0..parallel.len()).map(versions).find(|versions| *versions == expected);
        let is_held_out = expected.iter().any(|(language, ids)| {
            let lines = &corpus.held_out[*language];
            (0..lines.len()).any(|line| lines.line(line).eq(ids.iter().copied()))
        });
        held_out += usize::from(is_held_out);
        assert_eq!(found.is_some(), !is_held_out && ![10, 40, 41].contains(&i), "line {i}");
    }
    assert!((2..=4).contains(&held_out) && parallel.len() == 117 - held_out, "{held_out} {}", parallel.len());
    assert_eq!(parallel.notes.len(), 2);
    let note = &parallel.notes[0];
    assert!(
        note.starts_with(&format!("parallel news: {} sentences in ar, tr; {held_out} left out", parallel.len())),
        "{note}"
    );
    assert!(note.contains("en left out, 5 lines where 120 are usual"), "{note}");
    assert!(note.contains("fr left out, its lines are no translations of those of ar"), "{note}");
    assert_eq!(parallel.notes[1], "parallel absent: no such source");
}

#[test]
fn the_asked_share_of_the_sequences_are_pairs_and_drawing_goes_on_from_a_cursor() {
    let (dir, tokenizer) = (tempfile::tempdir().unwrap(), tokenizer());
    let (corpus, recipe) = parallel_corpus(dir.path(), &tokenizer, 0.5);
    let mut sampler = Sampler::new(&corpus, &recipe.data, 1, Cursor::default());
    let first = sampler.batch(5_000, &tokenizer);
    let cursor = sampler.cursor.clone();
    let text = |e: &Encoded, t: u32| -> String {
        let ids = e.ids.iter().zip(&e.types).filter(|(_, of)| **of == t);
        ids.filter_map(|(id, _)| tokenizer.token(*id)).collect::<String>().to_lowercase()
    };
    let languages = |e: &Encoded| {
        let is_ar = |text: String| text.contains(|c: char| ('ا'..='ي').contains(&c));
        (is_ar(text(e, 0)), is_ar(text(e, 2)))
    };
    let has_context = |e: &&Encoded| e.types.contains(&2);
    let pairs = first.iter().filter(has_context).filter(|e| languages(e).0 != languages(e).1).count();
    assert_eq!(cursor.pairs as usize, pairs);
    let share = pairs as f64 / first.len() as f64;
    assert!((0.4..0.6).contains(&share), "{share} of {}", first.len());
    assert!(first.iter().all(|e| e.ids.len() <= 32 && e.types.len() == e.ids.len()));
    // On from the cursor, through the checkpoint's text, another sampler draws what this one does.
    let cursor: Cursor = serde_json::from_str(&serde_json::to_string(&cursor).unwrap()).unwrap();
    let mut other = Sampler::new(&corpus, &recipe.data, 1, cursor);
    assert_eq!(other.batch(5_000, &tokenizer), sampler.batch(5_000, &tokenizer));
    // No share, no pairs, and nothing drawn for them.
    let (none, recipe) = parallel_corpus(dir.path(), &tokenizer, 0.0);
    let mut sampler = Sampler::new(&none, &recipe.data, 1, Cursor::default());
    sampler.batch(1_000, &tokenizer);
    assert!(none.parallel.is_empty() && none.parallel.notes.is_empty() && sampler.cursor.pairs == 0);
}

#[test]
fn a_pair_that_is_too_long_loses_the_ends_of_both() {
    let tokenizer = tokenizer();
    let special = tokenizer.special();
    let ids = |first: u32, n: u32| (first..first + n).collect::<Vec<u32>>();
    for (n_a, n_b, kept_a, kept_b) in
        [(50, 50, 14, 14), (50, 5, 23, 5), (5, 50, 5, 23), (14, 14, 14, 14), (15, 14, 14, 14), (3, 4, 3, 4)]
    {
        let e = pair(&ids(100, n_a), &ids(300, n_b), 32, &tokenizer);
        let mut expected = vec![special.cls];
        expected.extend(ids(100, kept_a));
        expected.extend([special.sep, special.previous.unwrap()]);
        expected.extend(ids(300, kept_b));
        expected.push(special.sep);
        assert_eq!(e.ids, expected, "{n_a} and {n_b}");
        assert_eq!(e.sentence_tokens as u32, kept_a + 2);
        assert!(e.types.iter().enumerate().all(|(i, t)| *t == if i < e.sentence_tokens { 0 } else { 2 }));
        // Words of both are hidden.
        let masked = Words::new(&tokenizer).hide(&e, 0.9, &mut 1);
        assert!(
            masked.positions.iter().any(|p| *p < e.sentence_tokens)
                && masked.positions.iter().any(|p| *p > e.sentence_tokens)
        );
    }
}

#[test]
fn whole_words_are_hidden_and_asked_for_at_about_the_asked_rate() {
    let tokenizer = tokenizer();
    let words = Words::new(&tokenizer);
    let ids = tokenizer.text_ids("أعلنت المقاومة الإسلامية في العراق استهداف قاعدة عين الأسد بالطيران المسير").unwrap();
    let special = tokenizer.special();
    let mut all = vec![special.cls];
    all.extend(&ids);
    all.push(special.sep);
    let n = all.len();
    let encoded = Encoded { ids: all.clone(), types: vec![0; n], sentence_tokens: n, ..Encoded::default() };
    let begins = |i: usize| tokenizer.token(all[i]).unwrap().starts_with('▁');
    let (mut state, mut asked) = (1, 0);
    for _ in 0..300 {
        let masked = words.hide(&encoded, 0.3, &mut state);
        asked += masked.positions.len();
        assert!(!masked.positions.is_empty());
        assert!(masked.positions.iter().all(|p| *p > 0 && *p < n - 1), "a special token was asked for");
        for (position, target) in masked.positions.iter().zip(&masked.targets) {
            assert_eq!(all[*position], *target);
            // the rest of the word is asked for too
            if position + 1 < n - 1 && !begins(position + 1) {
                assert!(masked.positions.contains(&(position + 1)));
            }
        }
        for i in (0..n).filter(|i| !masked.positions.contains(i)) {
            assert_eq!(masked.encoded.ids[i], all[i]);
        }
    }
    let rate = asked as f64 / (300 * ids.len()) as f64;
    assert!((0.25..0.37).contains(&rate), "{rate}");
}

#[test]
fn an_unknown_key_of_the_recipe_is_refused() {
    let error = PretrainRecipe::resolve(None, &["training.step=3".into()]).unwrap_err().to_string();
    assert!(error.contains("did you mean \"steps\"?"), "{error}");
    let error = PretrainRecipe::resolve(None, &["training.mask_rate=1".into()]).unwrap_err().to_string();
    assert!(error.contains("training.mask_rate = 1; expected 0 or more and less than 1"), "{error}");
}
