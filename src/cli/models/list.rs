//! `rasid models list`: what is here.

use super::Format;
use super::info::{columns, size, some_or_dash};
use crate::cli::model_lookup::model_folders;
use crate::error::Result;
use crate::model_dir::hub_cache::{self, SCHEME};
use crate::model_dir::{Summary, summary};
use serde::Serialize;
use std::path::Path;

/// What can be asked for.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to write: a table to read or JSON to compute with
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// A model as `--model` or `--base` takes it.
#[derive(Serialize)]
struct Row {
    model: String,
    #[serde(flatten)]
    summary: Summary,
}

/// The text of the command.
///
/// # Errors
/// None; a folder that cannot be read is told in its row.
pub fn text(args: &Args) -> Result<String> {
    let row = |model: String, folder: &Path| Row { model, summary: summary(folder) };
    let mut rows: Vec<Row> = model_folders().iter().map(|(name, folder)| row(name.clone(), folder)).collect();
    if let Some(root) = hub_cache::root() {
        rows.extend(hub_cache::snapshots(&root).iter().map(|(id, folder)| row(format!("{SCHEME}{id}"), folder)));
    }
    Ok(match args.format {
        Format::Json => serde_json::to_string_pretty(&rows).expect("rows are plain data") + "\n",
        Format::Table => table(&rows),
    })
}

fn table(rows: &[Row]) -> String {
    let header =
        ["model", "family", "parameters", "size", "languages", "labels", "licence", "folder"].map(String::from);
    let cells = |row: &Row| {
        let s = &row.summary;
        let kind = match (&s.fault, s.labels.as_slice()) {
            (Some(fault), _) => format!("cannot be opened: {fault}"),
            (None, []) => "none: a base".into(),
            (None, labels) => labels.join(", "),
        };
        let parameters = s.parameters.map_or("—".into(), |n| format!("{:.1} M", n as f64 / 1e6));
        [
            row.model.clone(),
            some_or_dash(&s.family),
            parameters,
            size(s.bytes),
            some_or_dash(&s.languages.join(" ")),
            kind,
            some_or_dash(s.license.as_deref().unwrap_or_default()),
            s.folder.clone(),
        ]
    };
    columns(&std::iter::once(header).chain(rows.iter().map(cells)).collect::<Vec<_>>())
}
