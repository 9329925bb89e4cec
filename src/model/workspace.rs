//! What one worker keeps while it trains: the gradients of the weights, summed where they arise, and memory that goes
//! from one operation, and from one step, to the next.

use super::mode::Precision;
use crate::kernels::training::Products;
use candle_core::{Tensor, TensorId};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sums and memory of one worker.
pub struct Workspace {
    products: Products,
    recomputes: bool,
    sums: Mutex<HashMap<TensorId, Vec<f32>>>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    free: BTreeMap<usize, Vec<Vec<f32>>>, // by capacity
    lent: HashMap<usize, usize>,          // how many buffers of a capacity are in use
}

impl Workspace {
    /// An empty one, for products of this precision.
    pub fn new(precision: Precision) -> Workspace {
        let products = match precision {
            Precision::F32 => Products::F32,
            Precision::Bf16 => Products::Bf16,
        };
        Workspace { products, recomputes: false, sums: Mutex::default(), memory: Mutex::default() }
    }

    /// The same for layers of which only the inputs are kept.
    pub fn recomputing(self, recomputes: bool) -> Workspace {
        Workspace { recomputes, ..self }
    }

    /// Whether only the inputs of layers are kept between the two passes.
    pub fn recomputes(&self) -> bool {
        self.recomputes
    }

    /// One for each of `n` workers.
    pub fn for_workers(precision: Precision, n: usize) -> Vec<Option<Arc<Workspace>>> {
        (0..n).map(|_| Some(Arc::new(Workspace::new(precision)))).collect()
    }

    /// How products are computed.
    pub fn products(&self) -> Products {
        self.products
    }

    /// Memory for `n` numbers, which hold anything.
    pub fn buffer(&self, n: usize) -> Vec<f32> {
        let mut memory = lock(&self.memory);
        let fitting = memory.free.range_mut(n..=2 * n).find(|(_, buffers)| !buffers.is_empty());
        let mut buffer = fitting.and_then(|(_, buffers)| buffers.pop()).unwrap_or_else(|| Vec::with_capacity(n));
        *memory.lent.entry(buffer.capacity()).or_default() += 1;
        drop(memory);
        buffer.resize(n, 0.0);
        buffer
    }

    /// Takes back memory that nobody needs. What came from elsewhere is freed: gradients that the tensor library made come by
    /// here at every step, and a workspace that kept them would grow without end.
    pub fn recycle(&self, buffer: Vec<f32>) {
        let mut memory = lock(&self.memory);
        let capacity = buffer.capacity();
        match memory.lent.get_mut(&capacity) {
            Some(lent) if *lent > 0 => *lent -= 1,
            _ => return,
        }
        memory.free.entry(capacity).or_default().push(buffer);
    }

    /// Lets `write` put the gradient of a weight in its place: it is told whether to add to what stands there, or to
    /// overwrite it.
    pub fn add<R>(&self, weight: &Tensor, write: impl FnOnce(&mut [f32], bool) -> R) -> R {
        let mut sums = lock(&self.sums);
        let accumulate = sums.contains_key(&weight.id());
        let sum = sums.entry(weight.id()).or_insert_with(|| self.buffer(weight.elem_count()));
        write(sum, accumulate)
    }

    /// The sum of a weight's gradients, for which a new sum begins.
    pub fn take(&self, weight: &Tensor) -> Option<Vec<f32>> {
        lock(&self.sums).remove(&weight.id())
    }

    /// Puts a gradient that was computed elsewhere, in memory from [`Workspace::buffer`], to the others of its weight.
    pub fn put(&self, weight: &Tensor, gradient: Vec<f32>) {
        match lock(&self.sums).entry(weight.id()) {
            Entry::Vacant(free) => {
                free.insert(gradient);
            }
            Entry::Occupied(mut sum) => {
                sum.get_mut().iter_mut().zip(&gradient).for_each(|(s, g)| *s += g);
                self.recycle(gradient);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn the_first_gradient_is_written_and_the_next_is_added_in_memory_that_returns() {
        let weight = Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap();
        let workspace = Workspace::new(Precision::F32);
        let mut lent = workspace.buffer(3);
        lent.fill(9.0);
        workspace.recycle(lent);
        let write = |value: f32| {
            workspace.add(&weight, |sum, accumulate| {
                sum.iter_mut().for_each(|s| *s = value + if accumulate { *s } else { 0.0 });
            })
        };
        write(1.0);
        write(2.0);
        workspace.put(&weight, vec![0.5; 3]);
        let sum = workspace.take(&weight).unwrap();
        assert_eq!(sum, [3.5; 3]);
        assert!(workspace.take(&weight).is_none());
        workspace.recycle(sum);
        assert_eq!(workspace.buffer(2).len(), 2);
    }

    #[test]
    fn memory_that_was_not_lent_is_not_kept() {
        let workspace = Workspace::new(Precision::F32);
        let lent = workspace.buffer(5);
        for buffer in [vec![0.0; 7], lent, vec![0.0; 5], vec![0.0; 5]] {
            workspace.recycle(buffer);
        }
        let free: Vec<(usize, usize)> = lock(&workspace.memory).free.iter().map(|(n, all)| (*n, all.len())).collect();
        assert_eq!(free, [(5, 1)]);
    }
}
