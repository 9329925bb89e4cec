//! The right operand of a product in panels of columns.

use crate::kernels::matmul::View;

/// Columns of a panel.
pub const COLUMNS: usize = 32;

/// One step of the sum: a value for each column of a panel.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub struct Step(pub [f32; COLUMNS]);

impl Step {
    /// Nothing but zeros.
    pub const ZERO: Step = Step([0.0; COLUMNS]);
}

/// A right operand in panels.
#[derive(Debug, Clone, Default)]
pub struct Panels {
    n: usize,
    k: usize,
    steps: Vec<Step>,
}

impl Panels {
    /// Lays out a weight (N, K), as PyTorch stores it, for products `x @ wᵀ`.
    pub fn new(weight: &[f32], n: usize, k: usize) -> Panels {
        let mut panels = Panels::default();
        panels.lay_out(n, k, |column, steps| {
            for (step, value) in weight[column * k..][..k].iter().enumerate() {
                steps[step].0[column % COLUMNS] = *value;
            }
        });
        panels
    }

    /// Lays out an operand of n columns and k steps anew, in the memory at hand: `fill` gets a column and the steps of its
    /// panel, and writes that column.
    #[inline(always)]
    pub fn lay_out(&mut self, n: usize, k: usize, mut fill: impl FnMut(usize, &mut [Step])) {
        (self.n, self.k) = (n, k);
        self.steps.clear();
        self.steps.resize(n.div_ceil(COLUMNS) * k, Step::ZERO);
        for column in 0..n {
            fill(column, &mut self.steps[column / COLUMNS * k..][..k]);
        }
    }

    /// As [`lay_out`](Self::lay_out), from rows of n values, one a step.
    #[inline(always)]
    pub fn lay_out_steps<'r>(&mut self, n: usize, k: usize, row: impl Fn(usize) -> &'r [f32]) {
        (self.n, self.k) = (n, k);
        self.steps.resize(n.div_ceil(COLUMNS) * k, Step::ZERO);
        for step in 0..k {
            for (j, values) in row(step)[..n].chunks(COLUMNS).enumerate() {
                let to = &mut self.steps[j * k + step].0;
                to[..values.len()].copy_from_slice(values);
                to[values.len()..].fill(0.0);
            }
        }
    }

    /// Lays out a matrix of k steps (rows) and n columns, of which either lie side by side.
    pub fn lay_out_view(&mut self, values: &[f32], view: View) {
        let (n, k) = (view.columns, view.rows);
        if view.column_stride == 1 || n == 1 {
            return self.lay_out_steps(n, k, |step| &values[step * view.row_stride..][..n]);
        }
        assert!(view.row_stride == 1 || k == 1, "neither rows nor columns of {view:?} lie side by side");
        (self.n, self.k) = (n, k);
        self.steps.resize(n.div_ceil(COLUMNS) * k, Step::ZERO);
        for (j, steps) in self.steps.chunks_exact_mut(k).enumerate() {
            let columns = COLUMNS.min(n - j * COLUMNS);
            if columns < COLUMNS {
                steps.fill(Step::ZERO);
            }
            for column in 0..columns {
                let from = (j * COLUMNS + column) * view.column_stride;
                steps.iter_mut().zip(&values[from..from + k]).for_each(|(step, value)| step.0[column] = *value);
            }
        }
    }

    /// Columns of the operand and steps of the sum.
    pub fn shape(&self) -> (usize, usize) {
        (self.n, self.k)
    }

    /// The steps of one panel, and how many columns it has.
    pub(super) fn panel(&self, j: usize) -> (&[Step], usize) {
        (&self.steps[j * self.k..][..self.k], COLUMNS.min(self.n - j * COLUMNS))
    }
}
