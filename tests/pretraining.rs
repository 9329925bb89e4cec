//! Pre-training on a handful of lines: it learns, it can be stopped and continued to the byte, and fine-tuning starts from it.

use rasid::error::Error;
use rasid::pretrain::PretrainRecipe;
use rasid::pretrain::corpus::{Corpus, load};
use rasid::pretrain::masking::Words;
use rasid::pretrain::run::{PretrainEvent, PretrainOptions, pretrain};
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
    first
}

/// Trains into `output`, stopped after `stop_after` steps if that is less than the recipe's; returns loss by step.
fn run(output: &Path, (steps, precision): (u64, &str), resume: bool, stop_after: u64, workers: usize) -> Vec<f64> {
    let (tokenizer, recipe) = (tokenizer(), recipe(steps, precision));
    let corpus = corpus(output.parent().unwrap(), &tokenizer, &recipe);
    let sources = ["a".to_string()];
    let output = output.to_path_buf();
    let options = PretrainOptions {
        recipe: &recipe,
        corpus: &corpus,
        tokenizer: &tokenizer,
        sources: &sources,
        output,
        resume,
        workers,
    };
    let (stop, mut losses) = (AtomicBool::new(false), Vec::new());
    let result = pretrain(&options, &stop, &mut |event| {
        if let PretrainEvent::Step { step, loss, .. } = event {
            losses.push(loss);
            stop.store(step >= stop_after, Ordering::Relaxed);
        }
    });
    match result {
        Err(Error::Interrupted) => assert!(stop_after <= steps),
        other => other.unwrap(),
    }
    losses
}

/// Trains at once on two threads, and in two goes on one; returns the losses.
fn learns_and_goes_on_to_the_same_bytes(precision: &str) -> Vec<f64> {
    let dir = tempfile::tempdir().unwrap();
    let (whole, halved) = (dir.path().join("a/base"), dir.path().join("b/base"));
    let losses = run(&whole, (20, precision), false, u64::MAX, 2);
    assert_eq!(losses.len(), 20);
    assert!(losses[19] < losses[0] - 2.0, "{losses:?}");
    assert_eq!(run(&halved, (20, precision), false, 7, 1).len(), 7);
    let rest = run(&halved, (20, precision), true, u64::MAX, 1);
    assert_eq!(rest, losses[7..]);
    let weights = |base: &Path| std::fs::read(base.join("model.safetensors")).unwrap();
    assert!(weights(&whole) == weights(&halved), "other bytes");
    let (config, base, _) = rasid::model_dir::open_base(&whole).unwrap();
    assert_eq!(config.encoder.hidden_size, 16);
    assert!(base.0.contains_key("layers.0.attn.Wqkv.weight"));
    losses
}

#[test]
fn it_learns_and_a_stopped_run_goes_on_to_the_same_bytes_on_any_number_of_threads() {
    learns_and_goes_on_to_the_same_bytes("f32");
}

#[test]
fn so_it_does_in_bf16_with_nearly_the_same_losses() {
    let dir = tempfile::tempdir().unwrap();
    let exact = run(&dir.path().join("base"), (20, "f32"), false, u64::MAX, 2);
    for (rounded, exact) in learns_and_goes_on_to_the_same_bytes("bf16").into_iter().zip(exact) {
        assert!((rounded / exact - 1.0).abs() < 0.01, "{rounded} in bf16, {exact} in f32");
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
    let encoded = Encoded { ids: all.clone(), types: vec![0; n], sentence_tokens: n, truncated: false };
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
