//! The two halves of a layer in training, each one operation with its backward pass: nothing between two
//! products becomes a tensor, and gradients of weights go to the worker's [`Workspace`].
//!
//! The mathematics is that of [`Encoder::forward`](super::Encoder::forward), and a test holds the two together.

use super::ops::{tensor, values, with_values};
use super::workspace::Workspace;
use crate::kernels::activation::{geglu, geglu_recomputed};
use crate::kernels::attention::Heads;
use crate::kernels::matmul::View;
use crate::kernels::norm::{layer_norm, layer_norm_backward_added};
use crate::kernels::rotary::Rotary;
use crate::kernels::simd::dispatch;
use crate::kernels::training::attention::{attention, attention_backward};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use std::sync::{Arc, Mutex, PoisonError};

/// What both halves have: a norm before, a product back into the residual stream behind, and dropout on that.
pub struct Branch {
    /// Weight of the norm (D); the first layer's attention has none.
    pub norm: Option<Tensor>,
    /// Added to the variance.
    pub eps: f32,
    /// First product, (N, D).
    pub inner: Tensor,
    /// Product back, (D, K).
    pub back: Tensor,
    /// Factors on the branch's output (T, D), where values are dropped.
    pub dropout: Option<Vec<f32>>,
    /// Where gradients go and memory comes from.
    pub workspace: Arc<Workspace>,
}

/// `x + dropout(attention(norm(x) @ innerᵀ) @ backᵀ)` for x (T, D), inner (3D, D), back (D, D).
pub fn attention_block(
    x: &Tensor,
    branch: Branch,
    starts: Arc<Vec<usize>>,
    heads: Heads,
    rotary: Arc<Rotary>,
) -> Result<Tensor> {
    let middle = Middle::Attention { starts, heads, rotary };
    x.contiguous()?.apply_op1(Block { branch, middle, kept: Mutex::new(None) })
}

/// `x + dropout(geglu(norm(x) @ innerᵀ) @ backᵀ)` for x (T, D), inner (2F, D), back (D, F).
pub fn mlp_block(x: &Tensor, branch: Branch) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Block { branch, middle: Middle::GeGlu, kept: Mutex::new(None) })
}

/// What happens between the two products.
enum Middle {
    Attention { starts: Arc<Vec<usize>>, heads: Heads, rotary: Arc<Rotary> },
    GeGlu,
}

struct Block {
    branch: Branch,
    middle: Middle,
    /// Output of the first product and input of the second, for the backward pass; the latter is empty where it is computed
    /// again.
    kept: Mutex<Option<(Vec<f32>, Vec<f32>)>>,
}

impl Branch {
    fn normed(&self, x: &[f32]) -> Result<Vec<f32>> {
        let mut normed = self.workspace.buffer(x.len());
        match &self.norm {
            Some(weight) => with_values(weight, |w| layer_norm(x, w, self.eps, &mut normed))?,
            None => normed.copy_from_slice(x),
        }
        Ok(normed)
    }

    /// Adds the gradient of a product `y = x @ weightᵀ` to its weight's and writes that of x; x is (T, K), y (T, N).
    fn product_backward(
        &self,
        weight: &Tensor,
        dy: &[f32],
        x: &[f32],
        dx: &mut [f32],
        (t, k, n): (usize, usize, usize),
    ) -> Result<()> {
        let (xv, yv, wv) = (View::dense(t, k), View::dense(t, n), View::dense(n, k));
        let by = self.workspace.products();
        self.workspace.add(weight, |dw, accumulate| by.matmul((dw, wv), (dy, yv.t()), (x, xv), accumulate));
        with_values(weight, |w| by.matmul((dx, xv), (dy, yv), (w, wv), false))
    }
}

impl CustomOp1 for Block {
    fn name(&self) -> &'static str {
        "block"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (t, d) = layout.shape().dims2()?;
        let (x, branch, workspace) = (values(x, layout)?, &self.branch, &self.branch.workspace);
        let by = workspace.products();
        let ((n, _), (_, k)) = (branch.inner.dims2()?, branch.back.dims2()?);
        let normed = branch.normed(x)?;
        let (mut inner, mut middle) = (workspace.buffer(t * n), workspace.buffer(t * k));
        let (inner_view, middle_view, out_view) = (View::dense(t, n), View::dense(t, k), View::dense(t, d));
        with_values(&branch.inner, |w| {
            by.matmul((&mut inner, inner_view), (&normed, out_view), (w, View::dense(n, d).t()), false)
        })?;
        workspace.recycle(normed);
        match &self.middle {
            Middle::Attention { starts, heads, rotary } => attention(by, &inner, starts, *heads, rotary, &mut middle),
            Middle::GeGlu => geglu(&inner, k, &mut middle),
        }
        let mut out = x.to_vec();
        with_values(&branch.back, |w| {
            let weight = (w, View::dense(d, k).t());
            let Some(factors) = &branch.dropout else {
                return by.matmul((&mut out, out_view), (&middle, middle_view), weight, true);
            };
            let mut product = workspace.buffer(t * d);
            by.matmul((&mut product, out_view), (&middle, middle_view), weight, false);
            out.iter_mut().zip(&product).zip(factors).for_each(|((o, p), f)| *o += p * f);
            workspace.recycle(product);
        })?;
        let kept = match self.middle {
            Middle::Attention { .. } => (inner, middle),
            Middle::GeGlu => {
                workspace.recycle(middle);
                (inner, Vec::new())
            }
        };
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok((CpuStorage::F32(out), (t, d).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(kept) = kept else { bail!("block: backward ran twice") };
        let dx = with_values(x, |xs| with_values(grad, |grad| self.backward(xs, x.dims2()?, grad, kept)))???;
        Ok(Some(tensor(dx, x)?))
    }
}

impl Block {
    fn backward(
        &self,
        x: &[f32],
        (t, d): (usize, usize),
        grad: &[f32],
        (inner, mut middle): (Vec<f32>, Vec<f32>),
    ) -> Result<Vec<f32>> {
        let (branch, workspace) = (&self.branch, &self.branch.workspace);
        let by = workspace.products();
        let ((n, _), (_, k)) = (branch.inner.dims2()?, branch.back.dims2()?);
        let dropped = branch.dropout.as_ref().map(|factors| {
            let mut dropped = workspace.buffer(t * d);
            dropped.iter_mut().zip(grad).zip(factors).for_each(|((o, g), f)| *o = g * f);
            dropped
        });
        let dout = dropped.as_deref().unwrap_or(grad);
        let (mut dmiddle, mut dinner) = (workspace.buffer(t * k), workspace.buffer(t * n));
        match &self.middle {
            Middle::Attention { starts, heads, rotary } => {
                branch.product_backward(&branch.back, dout, &middle, &mut dmiddle, (t, k, d))?;
                attention_backward(by, &inner, starts, *heads, rotary, &dmiddle, &mut dinner);
            }
            Middle::GeGlu => {
                let (out, to) = (View::dense(t, d), View::dense(t, k));
                with_values(&branch.back, |w| {
                    by.matmul((&mut dmiddle, to), (dout, out), (w, View::dense(d, k)), false);
                })?;
                middle = workspace.buffer(t * k);
                geglu_recomputed(&inner, k, &dmiddle, &mut dinner, &mut middle);
                workspace.add(&branch.back, |dw, accumulate| {
                    by.matmul((dw, View::dense(d, k)), (dout, out.t()), (&middle, to), accumulate);
                });
            }
        }
        [dmiddle, middle, inner].into_iter().chain(dropped).for_each(|buffer| workspace.recycle(buffer));
        let normed = branch.normed(x)?;
        let mut dnormed = workspace.buffer(t * d);
        branch.product_backward(&branch.inner, &dinner, &normed, &mut dnormed, (t, d, n))?;
        let mut dx = grad.to_vec();
        match &branch.norm {
            None => dispatch(
                #[inline(always)]
                || dx.iter_mut().zip(&dnormed).for_each(|(x, n)| *x += n),
            ),
            Some(weight) => with_values(weight, |w| {
                workspace.add(weight, |dw, accumulate| {
                    if !accumulate {
                        dw.fill(0.0);
                    }
                    layer_norm_backward_added(x, w, branch.eps, &dnormed, &mut dx, dw);
                });
            })?,
        }
        [normed, dnormed, dinner].into_iter().for_each(|buffer| workspace.recycle(buffer));
        Ok(dx)
    }
}
