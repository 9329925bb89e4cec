//! What a run leaves beside its checkpoint: metrics.jsonl and a TensorBoard event file.

use super::events::EventWriter;
use super::fit::EpochReport;
use crate::error::{Error, Result};
use crate::schema::Schema;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The two files, open for writing.
pub struct Journal {
    metrics: PathBuf,
    events_path: PathBuf,
    events: EventWriter<BufWriter<File>>,
    heads: Vec<String>,
}

/// Steps between two points of the loss curve.
pub const STEPS_A_POINT: u64 = 10;

impl Journal {
    /// Opens the files in `folder`; `schema` names the heads that have scores. A run that goes on gets an event file of its own beside the former one, as TensorBoard expects.
    ///
    /// # Errors
    /// The system refuses.
    pub fn open(folder: &Path, schema: &Schema) -> Result<Journal> {
        let now = seconds();
        let events_path = folder.join(format!("events.out.tfevents.{:010}.rasid.{}", now as u64, std::process::id()));
        let file = File::create(&events_path).map_err(Error::io("create", &events_path))?;
        let events = EventWriter::new(BufWriter::new(file), now).map_err(Error::io("write", &events_path))?;
        let heads = schema.heads.iter().map(|h| h.name.clone()).collect();
        Ok(Journal { metrics: folder.join("metrics.jsonl"), events_path, events, heads })
    }

    /// Records a step.
    ///
    /// # Errors
    /// The system refuses to write.
    pub fn step(&mut self, step: u64, loss: f64, gradient_norm: f64, learning_rate: f64) -> Result<()> {
        if !step.is_multiple_of(STEPS_A_POINT) {
            return Ok(());
        }
        let points =
            [("train/loss", loss), ("train/gradient_norm", gradient_norm), ("train/learning_rate", learning_rate)];
        self.scalars(step, &points)
    }

    /// Adds a point to each of these curves.
    ///
    /// # Errors
    /// The system refuses to write.
    pub fn scalars<T: AsRef<str>>(&mut self, step: u64, points: &[(T, f64)]) -> Result<()> {
        points.iter().try_for_each(|(tag, value)| self.scalar(tag.as_ref(), step, *value))
    }

    /// Records the end of an epoch, the last line of `history`.
    ///
    /// # Errors
    /// The system refuses to write.
    pub fn epoch(&mut self, report: &EpochReport, history: &[String]) -> Result<()> {
        let scores: Vec<(String, f64)> = self
            .heads
            .iter()
            .zip(&report.dev_macro_f1)
            .filter_map(|(head, f1)| Some((format!("dev/{head}_macro_f1"), (*f1)?)))
            .collect();
        self.scalar("epoch/loss", report.epoch as u64, report.loss)?;
        self.scalars(report.epoch as u64, &scores)?;
        self.metrics(history)
    }

    /// Writes metrics.jsonl anew from the whole history, so that it never holds an epoch twice.
    ///
    /// # Errors
    /// The system refuses to write.
    pub fn metrics(&self, history: &[String]) -> Result<()> {
        let beside = self.metrics.with_extension("part");
        let text: String = history.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(&beside, text).map_err(Error::io("write", &beside))?;
        std::fs::rename(&beside, &self.metrics).map_err(Error::io("write", &self.metrics))
    }

    fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<()> {
        self.events.scalar(tag, step, value as f32, seconds()).map_err(Error::io("write", &self.events_path))
    }
}

fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}
