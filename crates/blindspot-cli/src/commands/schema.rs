//! `blindspot schema`.

use blindspot::units::SurveyRecord;
use blindspot::{certify, examples, inspect, property, universal};
use blindspot_paper::results::Results;
use blindspot_report::{SpectrumRecord, TransferRecord};
use clap::ValueEnum;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};

use super::{quocnet, train};
use crate::args::{self, Described};
use crate::print;

/// What `train` prints, of the paper's networks and of QuocNet.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its description is asked for")]
enum Trained {
    Network(train::Summary),
    QuocNet(quocnet::Summary),
}

pub(super) fn run(command: &args::Schema) -> anyhow::Result<()> {
    let mut schema = match command.command {
        Described::Attack => of::<examples::Record>(),
        Described::Certify => of::<certify::Record>(),
        Described::History => of::<quocnet::History<'_>>(),
        Described::Inspect => of::<inspect::Report>(),
        Described::Reproduce => of::<Results>(),
        Described::Spectrum => of::<SpectrumRecord>(),
        Described::Train => of::<Trained>(),
        Described::Transfer => of::<TransferRecord>(),
        Described::Units => of::<SurveyRecord>(),
        Described::Universal => of::<universal::Record>(),
        Described::Property => of::<property::Record>(),
    };
    let named = command.command.to_possible_value();
    let name = named.as_ref().map_or("", |value| value.get_name());
    let title = match command.command {
        Described::Property => "Result of blindspot certify --property".to_owned(),
        _ => format!("Result of blindspot {name}"),
    };
    schema.insert("title".into(), title.into());
    Ok(print::text(&serde_json::to_string_pretty(&schema)?)?)
}

/// The schema of a type as it is written.
fn of<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    RecursiveTransform(in_words_of_json).transform(&mut schema);
    schema
}

/// Descriptions come from the program's own documentation: its `None` is JSON's null.
fn in_words_of_json(schema: &mut Schema) {
    if let Some(description) = schema.get("description").and_then(|text| text.as_str()) {
        let words = description.replace('\n', " ").replace("None", "null");
        schema.insert("description".into(), words.into());
    }
}
