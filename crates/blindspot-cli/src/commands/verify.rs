//! `blindspot certify --property`.

use std::ffi::OsStr;
use std::path::Path;

use blindspot::certify::Arithmetic;
use blindspot::model::{InputBox, Outputs};
use blindspot::property::{
    About, Counterexample, Property, Record, Undecided, Verdict, Verification, VerifyOptions,
    verify, write_counterexample,
};
use blindspot_data::files;
use blindspot_report::digits;

use super::load;
use super::out::{listing, refuse_inputs, refuse_other_results};
use crate::args::{Certify, Common};
use crate::errors::{Interrupted, Usage};
use crate::print::{json, say};
use crate::progress::Progress;

/// The most values that are printed of a counterexample's inputs, or of its outputs.
const MAX_PRINTED: usize = 12;

pub(super) fn run(
    command: &Certify,
    property: &Path,
    common: &Common,
    progress: &Progress,
) -> anyhow::Result<()> {
    let out = command.out.as_deref();
    if out.is_some_and(|out| out.extension() != Some(OsStr::new("json"))) {
        let why =
            "with --property, --out is the file of the record: give a name that ends in .json";
        return Err(Usage(why.into()).into());
    }
    let written: Vec<_> = out
        .into_iter()
        .chain(command.counterexample.as_deref())
        .collect();
    let written: Vec<_> = written.into_iter().map(Path::to_owned).collect();
    let read = [command.model.files(), vec![property.to_owned()]].concat();
    refuse_inputs(&written, &read)?;
    let asked = Property::open(property)?;
    let source = load::Source {
        outputs: Outputs::Numbers,
        ..load::Source::of(&command.model, InputBox::default(), common)?
    };
    let model = load::model_alone(&source, common)?;
    let options = VerifyOptions {
        time_limit: command.time_limit,
        arithmetic: command.arithmetic,
        seed: command.seed,
    };
    let about = About::of(&model, &asked, &options);
    // Before the work: a file that can't be written is found out now.
    refuse_other_results(&written, &about, command.replace.overwrite)?;
    for file in &written {
        files::check_writable(file)?;
    }
    let found = verify(&model, &asked, &options, progress)?;
    if found.undecided == Some(Undecided::Cancelled) {
        let why = "interrupted; a verdict has no parts to keep: the same command begins again";
        return Err(Interrupted(why.into()).into());
    }
    let record = Record::new(about, found);
    if let Some(out) = out {
        let text = serde_json::to_string_pretty(&record)?;
        files::write_atomically(out, |sink| writeln!(sink, "{text}"))?;
    }
    if let Some(file) = &command.counterexample {
        write_counterexample(file, &record.verification)?;
    }
    let mut lines = vec![tell(&record, &asked)];
    lines.extend(Some(listing(&written, None)).filter(|files| !files.is_empty()));
    say(common, &lines.join("\n"))?;
    json(common, &record)
}

/// What was found, for people.
fn tell(record: &Record, property: &Property) -> String {
    let Verification {
        verdict,
        undecided,
        counterexample,
        parts,
        seconds,
        limits,
    } = &record.verification;
    let regions = property.regions();
    let cases: usize = regions.iter().map(|region| region.cases.len()).sum();
    let mut lines = vec![format!(
        "{}: {} of {}, {} of outputs that are unsafe there",
        property.name(),
        counted(regions.len(), "box", "boxes"),
        counted(property.inputs(), "input", "inputs"),
        counted(cases, "case", "cases"),
    )];
    let verdict = match (verdict, undecided) {
        (Verdict::Holds, _) => match record.about.options.arithmetic {
            Arithmetic::Runtime => "holds, in exact arithmetic and in any runtime's".to_owned(),
            Arithmetic::Exact => {
                "holds, in exact arithmetic, perhaps not in a runtime's".to_owned()
            }
        },
        (Verdict::Violated, _) => "violated".to_owned(),
        (Verdict::Unknown, Some(why)) => format!("unknown: {why}"),
        (Verdict::Unknown, None) => "unknown".to_owned(),
    };
    lines.push(format!(
        "verdict            {verdict} (VNN-COMP: {})",
        record.result
    ));
    lines.extend(counterexample.iter().flat_map(of_counterexample));
    lines.extend(limits.iter().map(|why| format!("without bounds     {why}")));
    let parts = counted(*parts as usize, "part", "parts");
    lines.push(format!(
        "work               {parts} bounded, {seconds:.2} s"
    ));
    lines.join("\n")
}

fn of_counterexample(found: &Counterexample) -> Vec<String> {
    let values = |values: &[f32]| {
        let shown = values.iter().take(MAX_PRINTED);
        let shown: Vec<String> = shown.map(|value| format!("{value}")).collect();
        let rest = values.len().saturating_sub(MAX_PRINTED);
        let rest = if rest > 0 {
            format!(" and {rest} more")
        } else {
            String::new()
        };
        format!("{}{rest}", shown.join(" "))
    };
    let by = found
        .margin
        .map_or(String::new(), |margin| format!(", by {}", digits(margin)));
    let runtimes = if found.in_any_runtime {
        "in any runtime"
    } else {
        "here; another runtime's rounding may undo it"
    };
    vec![
        format!(
            "counterexample     in box {}, case {}{by}, {runtimes}",
            found.region, found.case
        ),
        format!("  inputs           {}", values(&found.inputs)),
        format!("  outputs          {}", values(&found.outputs)),
    ]
}

fn counted(count: usize, one: &str, several: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {several}"),
    }
}
