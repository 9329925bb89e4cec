//! The fused kernels as candle operations with a backward pass, for f32 on the CPU.
//!
//! candle's own norm, softmax and rotary operations are forward only: a network built on them trains its last layer and
//! looks fine. Each operation here is checked against plain autograd and against finite differences. On another device each is
//! what [`plain`](super::plain) says.

use super::mode::Precision;
use super::plain;
use super::workspace::Workspace;
use crate::kernels::attention::{Heads, attention, attention_backward};
use crate::kernels::cross_entropy::{CrossEntropy, Target};
use crate::kernels::linear_cross_entropy::{self, Gradients};
use crate::kernels::matmul::{View, matmul, matmul_by_rows};
use crate::kernels::rotary::Rotary;
use crate::kernels::{activation, bf16, norm, training};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Storage, Tensor, bail};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// `y = x @ wᵀ`: x (T, K), w (N, K) as PyTorch stores it, y (T, N).
pub fn linear(x: &Tensor, w: &Tensor, precision: Precision) -> Result<Tensor> {
    if plain::is_meant(x) {
        return plain::linear(x, w);
    }
    x.contiguous()?.apply_op2(&w.contiguous()?, Linear { precision })
}

/// Layer norm without bias over the last axis: x (T, D), weight (D).
pub fn layer_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    if plain::is_meant(x) {
        return plain::layer_norm(x, weight, eps);
    }
    x.contiguous()?.apply_op2(weight, LayerNorm { eps: eps as f32 })
}

/// `gelu(input) * gate` for x (T, 2F) = [input, gate]; gives (T, F).
pub fn geglu(x: &Tensor) -> Result<Tensor> {
    if plain::is_meant(x) {
        return plain::geglu(x);
    }
    x.contiguous()?.apply_op1(GeGlu)
}

/// `gelu(x)` of every value, the exact one.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    if plain::is_meant(x) {
        return x.gelu_erf();
    }
    x.contiguous()?.apply_op1(Gelu)
}

/// Mean over M rows of the cross-entropy of `hidden @ tableᵀ`: hidden (M, D), table (V, D), M targets; gives a scalar.
///
/// The gradients are computed along with the loss and kept for the backward pass, which would else repeat the products. With
/// a workspace the products are as it says and the table's gradient goes there.
pub fn linear_cross_entropy(
    hidden: &Tensor,
    table: &Tensor,
    targets: Vec<u32>,
    workspace: Option<Arc<Workspace>>,
) -> Result<Tensor> {
    if plain::is_meant(hidden) {
        return plain::linear_cross_entropy(hidden, table, &targets);
    }
    let loss = LinearCrossEntropy { targets, workspace, kept: Mutex::new(None) };
    hidden.contiguous()?.apply_op2(&table.contiguous()?, loss)
}

/// Self-attention of packed sentences: qkv (T, 3D), starts (S + 1); gives (T, D).
pub fn packed_attention(qkv: &Tensor, starts: Arc<Vec<usize>>, heads: Heads, rotary: Arc<Rotary>) -> Result<Tensor> {
    if plain::is_meant(qkv) {
        return plain::packed_attention(qkv, &starts, heads, &rotary);
    }
    qkv.contiguous()?.apply_op1(Attention { starts, heads, rotary })
}

/// Mean over each range of rows: x (T, D), one row a range; gives (S, D). An empty range gives zeros.
pub fn mean_of_rows(x: &Tensor, ranges: Vec<Range<usize>>) -> Result<Tensor> {
    if plain::is_meant(x) {
        return plain::mean_of_rows(x, &ranges);
    }
    x.contiguous()?.apply_op1(MeanOfRows { ranges })
}

/// Mean cross-entropy of logits (N, L) as a scalar; rows without a target do not count.
pub fn cross_entropy(logits: &Tensor, targets: Vec<Target>, settings: CrossEntropy) -> Result<Tensor> {
    if plain::is_meant(logits) {
        return plain::cross_entropy(logits, &targets, &settings);
    }
    logits.contiguous()?.apply_op1(CrossEntropyLoss { targets, settings })
}

/// The values of a contiguous f32 tensor on the CPU.
pub(super) fn values<'s>(storage: &'s CpuStorage, layout: &Layout) -> Result<&'s [f32]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&storage.as_slice::<f32>()?[from..to]),
        None => bail!("expected a contiguous tensor, found strides {:?}", layout.stride()),
    }
}

/// Calls `f` with the values of a tensor, made contiguous first.
pub(super) fn with_values<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(f(values(storage, layout)?)),
        _ => bail!("expected a tensor on the CPU"),
    }
}

pub(super) fn tensor(values: Vec<f32>, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, like.shape(), like.device())
}

fn rows_and_columns(layout: &Layout) -> Result<(usize, usize)> {
    layout.shape().dims2()
}

struct Linear {
    precision: Precision,
}

impl Linear {
    fn product(&self, out: (&mut [f32], View), a: (&[f32], View), b: (&[f32], View)) {
        match self.precision {
            Precision::F32 => matmul(out, a, b, 1.0, false),
            Precision::Bf16 => bf16::matmul(out, a, b, false),
        }
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((t, k), (n, k2)) = (rows_and_columns(xl)?, rows_and_columns(wl)?);
        if k != k2 {
            bail!("linear: x is ({t}, {k}) and w is ({n}, {k2})");
        }
        let mut out = vec![0.0; t * n];
        let (x, w) = (values(x, xl)?, values(w, wl)?);
        match self.precision {
            Precision::F32 => matmul_by_rows(&mut out, x, w, (t, k, n)),
            Precision::Bf16 => {
                let (xv, wv) = (View::dense(t, k), View::dense(n, k).t());
                bf16::matmul((&mut out, View::dense(t, n)), (x, xv), (w, wv), false)
            }
        }
        Ok((CpuStorage::F32(out), (t, n).into()))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((t, k), (n, _)) = (x.dims2()?, w.dims2()?);
        // No product for what nobody learns: a frozen weight, or an input below which all is frozen.
        let (mut dx, mut dw) = (None, None);
        with_values(grad, |g| {
            if x.track_op() {
                let mut values = vec![0.0; t * k];
                let out = (values.as_mut_slice(), View::dense(t, k));
                with_values(w, |w| self.product(out, (g, View::dense(t, n)), (w, View::dense(n, k))))?;
                dx = Some(tensor(values, x)?);
            }
            if w.track_op() {
                let mut values = vec![0.0; n * k];
                let out = (values.as_mut_slice(), View::dense(n, k));
                with_values(x, |x| self.product(out, (g, View::dense(t, n).t()), (x, View::dense(t, k))))?;
                dw = Some(tensor(values, w)?);
            }
            Ok::<_, candle_core::Error>(())
        })??;
        Ok((dx, dw))
    }
}

struct LayerNorm {
    eps: f32,
}

impl CustomOp2 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, w) = (values(x, xl)?, values(w, wl)?);
        let mut out = vec![0.0; x.len()];
        norm::layer_norm(x, w, self.eps, &mut out);
        Ok((CpuStorage::F32(out), xl.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (mut dx, mut dw) = (vec![0.0; x.elem_count()], vec![0.0; w.elem_count()]);
        with_values(x, |xs| {
            with_values(w, |ws| with_values(grad, |g| norm::layer_norm_backward(xs, ws, self.eps, g, &mut dx, &mut dw)))
        })???;
        Ok((Some(tensor(dx, x)?), Some(tensor(dw, w)?)))
    }
}

struct GeGlu;

impl CustomOp1 for GeGlu {
    fn name(&self) -> &'static str {
        "geglu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (t, two_f) = rows_and_columns(layout)?;
        let mut out = vec![0.0; t * two_f / 2];
        activation::geglu(values(x, layout)?, two_f / 2, &mut out);
        Ok((CpuStorage::F32(out), (t, two_f / 2).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let f = x.dim(1)? / 2;
        let mut dx = vec![0.0; x.elem_count()];
        with_values(x, |xs| with_values(grad, |g| activation::geglu_backward(xs, f, g, &mut dx)))??;
        Ok(Some(tensor(dx, x)?))
    }
}

struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(x, layout)?;
        let mut out = vec![0.0; x.len()];
        activation::gelu_all(x, &mut out);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let mut dx = vec![0.0; x.elem_count()];
        with_values(x, |xs| with_values(grad, |g| activation::gelu_all_backward(xs, g, &mut dx)))??;
        Ok(Some(tensor(dx, x)?))
    }
}

struct LinearCrossEntropy {
    targets: Vec<u32>,
    workspace: Option<Arc<Workspace>>,
    kept: Mutex<Option<(Vec<f32>, Vec<f32>)>>,
}

impl CustomOp2 for LinearCrossEntropy {
    fn name(&self) -> &'static str {
        "linear_cross_entropy"
    }

    fn cpu_fwd(&self, h: &CpuStorage, hl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((m, d), (v, _)) = (rows_and_columns(hl)?, rows_and_columns(wl)?);
        if m != self.targets.len() || self.targets.iter().any(|t| *t as usize >= v) {
            bail!("linear_cross_entropy: {m} rows, {} targets, {v} classes", self.targets.len());
        }
        let mut dh = vec![0.0; m * d];
        let mut dw = self.workspace.as_ref().map_or_else(|| vec![0.0; v * d], |workspace| workspace.buffer(v * d));
        let scale = 1.0 / m.max(1) as f32;
        let gradients = Gradients { hidden: &mut dh, table: &mut dw };
        let (h, w, targets, gradients) = (values(h, hl)?, values(w, wl)?, &self.targets, Some(gradients));
        let loss = match &self.workspace {
            None => linear_cross_entropy::linear_cross_entropy(h, w, d, targets, scale, gradients),
            Some(workspace) => {
                let by = workspace.products();
                training::cross_entropy::linear_cross_entropy(by, h, w, d, targets, scale, gradients)
            }
        };
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((dh, dw));
        Ok((CpuStorage::F32(vec![loss as f32 * scale]), Shape::from(())))
    }

    fn bwd(&self, h: &Tensor, w: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.to_scalar::<f32>()?;
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((mut dh, mut dw)) = kept else { bail!("linear_cross_entropy: backward ran twice") };
        if grad != 1.0 {
            dh.iter_mut().chain(&mut dw).for_each(|g| *g *= grad);
        }
        let dw = match &self.workspace {
            None => Some(tensor(dw, w)?),
            Some(workspace) => {
                workspace.put(w, dw);
                None
            }
        };
        Ok((Some(tensor(dh, h)?), dw))
    }
}

struct Attention {
    starts: Arc<Vec<usize>>,
    heads: Heads,
    rotary: Arc<Rotary>,
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "packed_attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (t, three_d) = rows_and_columns(layout)?;
        let mut out = vec![0.0; t * three_d / 3];
        attention(values(qkv, layout)?, &self.starts, self.heads, &self.rotary, &mut out);
        Ok((CpuStorage::F32(out), (t, three_d / 3).into()))
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let mut dqkv = vec![0.0; qkv.elem_count()];
        with_values(qkv, |x| {
            with_values(grad, |g| attention_backward(x, &self.starts, self.heads, &self.rotary, g, &mut dqkv))
        })??;
        Ok(Some(tensor(dqkv, qkv)?))
    }
}

struct MeanOfRows {
    ranges: Vec<Range<usize>>,
}

impl CustomOp1 for MeanOfRows {
    fn name(&self) -> &'static str {
        "mean_of_rows"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, d) = rows_and_columns(layout)?;
        let x = values(x, layout)?;
        let mut out = vec![0.0; self.ranges.len() * d];
        for (range, out) in self.ranges.iter().zip(out.chunks_exact_mut(d)) {
            for row in x[range.start * d..range.end * d].chunks_exact(d) {
                out.iter_mut().zip(row).for_each(|(o, x)| *o += x);
            }
            let scale = 1.0 / range.len().max(1) as f32;
            out.iter_mut().for_each(|o| *o *= scale);
        }
        Ok((CpuStorage::F32(out), (self.ranges.len(), d).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let d = x.dim(1)?;
        let mut dx = vec![0.0; x.elem_count()];
        with_values(grad, |g| {
            for (range, g) in self.ranges.iter().zip(g.chunks_exact(d)) {
                let scale = 1.0 / range.len().max(1) as f32;
                for row in dx[range.start * d..range.end * d].chunks_exact_mut(d) {
                    row.iter_mut().zip(g).for_each(|(o, g)| *o += g * scale);
                }
            }
        })?;
        Ok(Some(tensor(dx, x)?))
    }
}

struct CrossEntropyLoss {
    targets: Vec<Target>,
    settings: CrossEntropy,
}

impl CustomOp1 for CrossEntropyLoss {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (loss, _) = self.settings.loss_and_gradient(values(logits, layout)?, &self.targets);
        Ok((CpuStorage::F32(vec![loss]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.to_scalar::<f32>()?;
        let (_, mut dx) = with_values(logits, |x| self.settings.loss_and_gradient(x, &self.targets))?;
        dx.iter_mut().for_each(|x| *x *= grad);
        Ok(Some(tensor(dx, logits)?))
    }
}
