//! `blindspot data list|fetch|verify|columns`.

use std::path::PathBuf;

use blindspot::run::monitor::Monitor;
use blindspot_data::{Columns, DataError, DataSpec, Locations, SchemaSource, fetch, files, list};
use blindspot_report::{Cell, Table};
use serde_json::json;

use super::out::refuse_inputs;
use super::{load, samples};
use crate::args::{Common, Data, Fetched};
use crate::errors::Exists;
use crate::print::{self, json, say};
use crate::progress::Progress;

/// A download as progress on the terminal.
pub(super) struct Download<'a>(pub(super) &'a Progress);

impl blindspot_data::Download for Download<'_> {
    fn progress(&mut self, file: &str, done: u64, total: Option<u64>) {
        if done == 0 || total == Some(done) {
            self.0
                .begin(&format!("fetching {file}"), total.unwrap_or(1));
        }
        self.0.progress(done, "");
        if total == Some(done) {
            self.0.end();
        }
    }
}

pub(super) fn run(command: &Data, common: &Common, progress: &Progress) -> anyhow::Result<()> {
    let locations = Locations::new(common.data_dir.clone());
    match command {
        Data::List | Data::Verify => {
            let listed = list(&locations);
            let mut values = Vec::new();
            let mut damaged = None;
            for item in listed {
                let path = item.path.as_ref().map(|path| path.display().to_string());
                let state = match &item.state {
                    None => "not there".to_owned(),
                    Some(Ok(())) => "ok".to_owned(),
                    Some(Err(error)) => error.to_string(),
                };
                let place = path.as_deref().unwrap_or("-");
                say(
                    common,
                    &format!("{:20} {:24} {state:10} {place}", item.part, item.file),
                )?;
                values.push(json!({
                    "set": item.part, "file": item.file, "path": path, "state": state,
                }));
                if let Some(Err(error)) = item.state {
                    damaged.get_or_insert(error);
                }
            }
            json(common, &values)?;
            match (command, damaged) {
                (Data::Verify, Some(error)) => Err(error.into()),
                (Data::Verify, None) if values.iter().all(|value| value["path"].is_null()) => {
                    Err(DataError::Missing {
                        set: "any image set".into(),
                        tried: vec!["every folder".into()],
                        advice: "Run `blindspot data fetch`".into(),
                    }
                    .into())
                }
                _ => Ok(()),
            }
        }
        Data::Fetch(command) => {
            let paths = match command.what {
                Fetched::Mnist => fetch(&locations, &mut Download(progress))?,
                Fetched::Samples => samples::make(command, common, progress)?,
            };
            let paths: Vec<String> = paths
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            for path in &paths {
                say(common, path)?;
            }
            json(common, &paths)
        }
        Data::Columns { data, out, replace } => {
            let (columns, _) = load::columns(data, &SchemaSource::Found, common, progress)?;
            let mut text = print::table(&table_of(data, &columns));
            if let Some(out) = out {
                let spec: Option<DataSpec> = data.parse().ok();
                let read: Vec<PathBuf> = spec
                    .iter()
                    .flat_map(DataSpec::paths)
                    .map(PathBuf::from)
                    .collect();
                refuse_inputs(std::slice::from_ref(out), &read)?;
                let schema = columns.to_toml();
                let other =
                    out.exists() && std::fs::read(out).ok().as_deref() != Some(schema.as_bytes());
                if other && !replace.overwrite {
                    let why = "it may have been edited".into();
                    let path = out.clone();
                    return Err(Exists { path, why }.into());
                }
                files::write_atomically(out, |sink| sink.write_all(schema.as_bytes()))?;
                text += &format!("Written: {}", out.display());
            }
            say(common, text.trim_end())?;
            json(common, &columns)
        }
    }
}

/// Columns for people.
fn table_of(data: &str, columns: &Columns) -> Table {
    let rows = columns.iter().map(|column| {
        vec![
            Cell::Text(column.name.clone()),
            Cell::Text(column.kind_name().into()),
            Cell::Text(column.values()),
            Cell::Figure(Some(column.scale), None),
        ]
    });
    let heads = ["column", "kind", "values", "scale"];
    Table {
        title: format!("Columns of {data}"),
        note: "Scale: what counts as a change by 1, of numbers their standard deviation.".into(),
        heads: heads.map(str::to_owned).into(),
        rows: rows.collect(),
    }
}
