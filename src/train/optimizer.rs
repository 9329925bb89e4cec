//! Fused AdamW over named variables, with parameter groups by name and clipping by the global norm.

use crate::error::Result;
use crate::kernels::adamw::AdamWStep;
use crate::kernels::simd::dispatch;
use crate::kernels::threads::in_parallel;
use crate::model::Weights;
use crate::model::mode::Precision;
use candle_core::{CpuStorage, InplaceOp1, Layout, Tensor};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Gradients by name, each as long as its weight.
pub type Gradients = BTreeMap<String, Vec<f32>>;

/// Settings of AdamW that do not change from step to step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Of matrices; norms, biases and embeddings have none.
    pub weight_decay: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// The gradient is scaled down to this norm; 0 for no clipping.
    pub max_grad_norm: f64,
    /// Each layer further from the heads has its rate multiplied by this once more.
    pub layer_decay: f64,
    /// Of the products; in bf16 the norm is summed weight by weight, which takes all workers.
    pub precision: Precision,
}

/// The moments of every trained weight and the number of steps taken.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Optimizer {
    /// Steps taken so far.
    pub step: u64,
    /// First and second moments by name.
    pub moments: BTreeMap<String, (Vec<f32>, Vec<f32>)>,
}

/// How far a weight lies from the heads: 0 for heads and final norm, then the last layer, …, the embeddings.
pub fn depth_from_heads(name: &str, n_layers: usize) -> usize {
    match name.strip_prefix("layers.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok()) {
        Some(layer) => n_layers - layer,
        None if name.starts_with("embeddings.") => n_layers + 1,
        None => 0,
    }
}

/// Whether a recipe with so many frozen layers (1 the embeddings, 2 these and the first layer, …) keeps a weight as it is. With
/// adapters all is kept but these and what stands behind the encoder.
pub fn is_frozen(name: &str, n_layers: usize, frozen_layers: usize, has_adapters: bool) -> bool {
    let is_adapted = name.contains(".lora_") || ["head.", "classifier."].iter().any(|part| name.starts_with(part));
    depth_from_heads(name, n_layers) + frozen_layers > n_layers + 1 || (has_adapters && !is_adapted)
}

/// The Euclidean norm of all gradients together.
pub fn gradient_norm(gradients: &Gradients) -> f64 {
    gradients.values().flatten().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>().sqrt()
}

/// [`gradient_norm`] summed weight by weight; the same for any number of workers.
pub fn gradient_norm_by_weight(gradients: &Gradients, workers: usize) -> f64 {
    let all: Vec<&Vec<f32>> = gradients.values().collect();
    let squares = in_parallel(&all, workers, |gradient| {
        dispatch(
            #[inline(always)]
            || {
                let (chunks, rest) = gradient.as_chunks::<16>();
                let mut lanes = [0.0f64; 16];
                for chunk in chunks {
                    for l in 0..16 {
                        lanes[l] += f64::from(chunk[l]) * f64::from(chunk[l]);
                    }
                }
                lanes.iter().sum::<f64>() + rest.iter().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>()
            },
        )
    });
    squares.iter().sum::<f64>().sqrt()
}

impl Optimizer {
    /// One step on every weight that has a gradient, at learning rate `lr`; returns the norm before clipping.
    ///
    /// # Errors
    /// A weight is not f32 on the CPU.
    pub fn step(
        &mut self,
        weights: &Weights,
        gradients: &Gradients,
        lr: f64,
        n_layers: usize,
        settings: &AdamW,
        workers: usize,
    ) -> Result<f64> {
        self.step += 1;
        let norm = match settings.precision {
            Precision::F32 => gradient_norm(gradients),
            Precision::Bf16 => gradient_norm_by_weight(gradients, workers),
        };
        let clipped = settings.max_grad_norm > 0.0 && norm > settings.max_grad_norm;
        let gradient_scale = if clipped { settings.max_grad_norm / norm } else { 1.0 };
        for (name, gradient) in gradients {
            let zeros = || vec![0.0; gradient.len()];
            self.moments.entry(name.clone()).or_insert_with(|| (zeros(), zeros()));
        }
        let trained = self.moments.iter_mut().filter_map(|(name, m)| Some((name, gradients.get(name)?, Mutex::new(m))));
        let trained: Vec<_> = trained.collect();
        let updates = in_parallel(&trained, workers, |(name, gradient, moments)| {
            let weight = &weights.0[*name];
            let is_matrix = weight.rank() == 2 && !name.starts_with("embeddings.");
            let step = AdamWStep {
                lr: lr * settings.layer_decay.powi(depth_from_heads(name, n_layers) as i32),
                beta1: settings.beta1,
                beta2: settings.beta2,
                eps: settings.eps,
                weight_decay: if is_matrix { settings.weight_decay } else { 0.0 },
                gradient_scale,
                step: self.step,
            };
            update(weight, step, gradient, &mut moments.lock().unwrap_or_else(PoisonError::into_inner))
        });
        updates.into_iter().collect::<Result<()>>()?;
        Ok(norm)
    }
}

fn update(weight: &Tensor, step: AdamWStep, gradient: &[f32], moments: &mut (Vec<f32>, Vec<f32>)) -> Result<()> {
    Ok(weight.inplace_op1(&Update { step, gradient, moments: RefCell::new(moments) })?)
}

struct Update<'a> {
    step: AdamWStep,
    gradient: &'a [f32],
    moments: RefCell<&'a mut (Vec<f32>, Vec<f32>)>,
}

impl InplaceOp1 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let (CpuStorage::F32(values), Some((from, to))) = (storage, layout.contiguous_offsets()) else {
            candle_core::bail!("adamw: expected a contiguous f32 weight");
        };
        let moments = &mut *self.moments.borrow_mut();
        self.step.apply(&mut values[from..to], self.gradient, &mut moments.0, &mut moments.1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_follow_the_names() {
        assert_eq!(depth_from_heads("embeddings.norm.weight", 4), 5);
        assert_eq!(depth_from_heads("layers.0.attn.Wo.weight", 4), 4);
        assert_eq!(depth_from_heads("layers.3.mlp.Wi.weight", 4), 1);
        assert_eq!(depth_from_heads("final_norm.weight", 4), 0);
        assert_eq!(depth_from_heads("classifier.incident.bias", 4), 0);
        let frozen = |n| {
            ["embeddings.norm.weight", "layers.0.mlp.Wi.weight", "layers.1.mlp.Wi.weight"]
                .map(|w| is_frozen(w, 4, n, false))
        };
        assert_eq!(frozen(0), [false, false, false]);
        assert_eq!(frozen(1), [true, false, false]);
        assert_eq!(frozen(2), [true, true, false]);
        let adapted =
            ["layers.0.attn.Wo.weight", "layers.0.attn.Wo.lora_A.weight", "final_norm.weight", "classifier.a.bias"];
        assert_eq!(adapted.map(|name| is_frozen(name, 4, 0, true)), [true, false, true, false]);
    }
}
