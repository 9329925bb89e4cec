//! A layer in training of which only the input is kept: its forward pass runs again when the gradient comes (Chen et al., 2016,
//! "Training deep nets with sublinear memory cost"). Memory falls from all layers' activations to one layer's.

use super::layer::Layer;
use super::mode::{Dropout, Mode};
use super::ops::{tensor, values, with_values};
use super::workspace::Workspace;
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, Var};
use std::sync::Arc;

/// [`Layer::forward`] with dropout drawn from `dropout`, the same in both runs. Gradients of the layer's weights go to the workspace.
pub fn recomputed(
    layer: &Layer,
    x: &Tensor,
    starts: &Arc<Vec<usize>>,
    dropout: Dropout,
    workspace: &Arc<Workspace>,
) -> Result<Tensor> {
    let op = Recomputed { layer: layer.clone(), starts: starts.clone(), dropout, workspace: workspace.clone() };
    x.contiguous()?.apply_op1(op)
}

struct Recomputed {
    layer: Layer,
    starts: Arc<Vec<usize>>,
    dropout: Dropout,
    workspace: Arc<Workspace>,
}

impl Recomputed {
    fn run(&self, x: &Tensor) -> Result<Tensor> {
        let mut dropout = self.dropout.clone();
        let mut mode = Mode::Train(&mut dropout, Some(self.workspace.clone()));
        self.layer.forward(x, &self.starts, &mut mode).map_err(candle_core::Error::wrap)
    }
}

impl CustomOp1 for Recomputed {
    fn name(&self) -> &'static str {
        "recomputed"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = Tensor::from_slice(values(x, layout)?, layout.shape(), &Device::Cpu)?;
        let y = self.run(&x)?.detach();
        Ok((CpuStorage::F32(y.flatten_all()?.to_vec1()?), y.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let input = Var::from_tensor(&x.detach())?;
        let y = self.run(&input)?;
        // The gradient of Σ y · grad with respect to anything is that of the loss by way of y.
        let store = (y * grad.detach())?.sum_all()?.backward()?;
        for weight in self.layer.weights() {
            if let Some(gradient) = store.get(weight).filter(|_| weight.is_variable()) {
                let mut buffer = self.workspace.buffer(gradient.elem_count());
                with_values(gradient, |values| buffer.copy_from_slice(values))?;
                self.workspace.put(weight, buffer);
            }
        }
        match store.get(&input) {
            Some(gradient) => Ok(Some(gradient.clone())),
            None => Ok(Some(tensor(vec![0.0; x.elem_count()], x)?)),
        }
    }
}
