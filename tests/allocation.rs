//! The network in use asks for memory a fixed number of times a batch, however many sentences are in it.

use rasid::model::weights::{encoder_table, head_table};
use rasid::model::{Engine, NumberFormat, StoredWeights, Weights};
use rasid::model_dir::ConfigJson;
use rasid::tokens::Packed;
use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, counting.
struct Counting;

static ASKED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ASKED.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// So many sentences of `n_tokens` tokens.
fn batch(n_sentences: usize, n_tokens: usize) -> Packed {
    let n = n_sentences * n_tokens;
    Packed {
        ids: (0..n).map(|i| (i * 7 % 100) as u32).collect(),
        types: vec![0; n],
        lexicon: (0..n).map(|i| (i % 5) as u64).collect(),
        starts: (0..=n_sentences).map(|i| i * n_tokens).collect(),
        sentence_tokens: vec![n_tokens; n_sentences],
    }
}

// The only test of this file: another one running beside it would be counted too.
#[test]
fn memory_is_asked_for_by_batch_and_not_by_sentence() {
    let path = Path::new("models/default/config.json");
    let config = ConfigJson::parse(&std::fs::read(path).unwrap(), path).unwrap().encoder;
    let heads = [("incident".to_string(), 4), ("perpetrator".to_string(), 7)];
    let weights = Weights::fresh(&[encoder_table(&config), head_table(&config, &heads)].concat(), 1).unwrap();
    let weights = StoredWeights::from_tensors(&weights).unwrap();
    for format in [NumberFormat::F32, NumberFormat::Int8] {
        let engine = Engine::new(&config, &heads, &weights, format, path).unwrap();
        let (few, many) = (batch(2, 20), batch(40, 20));
        let asked = |batch: &Packed| {
            let before = ASKED.load(Ordering::Relaxed);
            std::hint::black_box(engine.logits(batch).unwrap());
            ASKED.load(Ordering::Relaxed) - before
        };
        // The first batches find no memory to use again.
        (0..2).for_each(|_| _ = asked(&many));
        let (of_many, of_few) = (asked(&many), asked(&few));
        println!("{}: {of_few} times for 2 sentences, {of_many} for 40", format.name());
        assert_eq!(of_many, of_few, "{}", format.name());
        // The lists of logits that are handed out: one, and one a head.
        assert!(of_few <= 1 + heads.len(), "{}: {of_few}", format.name());
    }
}
