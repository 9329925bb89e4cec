//! What was worked out lately, kept for a while: an article's headline is read with each of its sentences, and each sentence once
//! more as the one before the next.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Answers by question, a bounded number of them; shared by threads.
pub struct Memo<K, V> {
    answers: Mutex<HashMap<K, Arc<V>>>,
    room: usize,
}

impl<K: Hash + Eq, V> Memo<K, V> {
    /// Keeps up to `room` answers.
    pub fn new(room: usize) -> Memo<K, V> {
        Memo { answers: Mutex::default(), room }
    }

    /// The answer to `question`, worked out if it is not at hand. Two threads may work out the same at the same time.
    ///
    /// # Errors
    /// `answer` fails; nothing is kept then.
    pub fn get<Q, E>(&self, question: &Q, answer: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E>
    where
        K: Borrow<Q> + for<'q> From<&'q Q>,
        Q: Hash + Eq + ?Sized,
    {
        let answers = || self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = answers().get(question) {
            return Ok(known.clone());
        }
        let found = Arc::new(answer()?);
        let mut answers = answers();
        if answers.len() >= self.room {
            answers.clear();
        }
        answers.insert(question.into(), found.clone());
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_answered_once_as_long_as_there_is_room() {
        let memo: Memo<Box<str>, usize> = Memo::new(2);
        let ask = |question: &str, new: usize| *memo.get(question, || Ok::<_, ()>(new)).unwrap();
        assert_eq!([ask("a", 1), ask("a", 2), ask("b", 3), ask("a", 4)], [1, 1, 3, 1]);
        assert_eq!(ask("c", 5), 5); // the others have to go
        assert_eq!(ask("a", 6), 6);
        assert_eq!(memo.get("d", || Err::<usize, _>("no")), Err("no"));
        assert_eq!(ask("d", 7), 7);
    }
}
