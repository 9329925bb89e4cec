//! Who computes: one worker a core, each with single-threaded kernels.

/// Keeps the tensor library from starting threads of its own; to be called first thing in `main`, before any other thread.
///
/// Its elementwise operations on more than 64K values queue at one process-wide pool that spins, so that our workers,
/// one a core, would wait for each other. A value that the user has set is left alone.
pub fn single_threaded_tensors() {
    if std::env::var_os("CANDLE_NUM_THREADS").is_none() {
        // SAFETY: called at the start of `main`, when no other thread exists that could read the environment.
        unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    }
}

/// Number of workers if the user names none: the cores that this process may use.
pub fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs `work` on every item, on up to `workers` threads; results come back in the order of the items.
///
/// Threads take items one by one, so long and short ones even out; the result does not depend on their number.
pub fn in_parallel<I: Sync, O: Send>(items: &[I], workers: usize, work: impl Fn(&I) -> O + Sync) -> Vec<O> {
    let workers = workers.clamp(1, items.len().max(1));
    if workers == 1 {
        return items.iter().map(work).collect();
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        loop {
            let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            match items.get(i) {
                Some(item) => done.push((i, work(item))),
                None => return done,
            }
        }
    };
    let mut all: Vec<(usize, O)> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(run)).collect();
        handles.into_iter().flat_map(|h| h.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    all.sort_by_key(|(i, _)| *i);
    all.into_iter().map(|(_, output)| output).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_the_items_whatever_the_number_of_threads() {
        let items: Vec<usize> = (0..1000).collect();
        let squares: Vec<usize> = items.iter().map(|i| i * i).collect();
        for workers in [1, 2, 7] {
            assert_eq!(in_parallel(&items, workers, |i| i * i), squares);
        }
        assert!(in_parallel(&[] as &[usize], 4, |i| *i).is_empty());
    }
}
