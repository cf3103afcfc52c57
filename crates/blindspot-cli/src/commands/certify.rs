//! `blindspot certify`.

use std::collections::BTreeMap;
use std::time::Duration;

use blindspot::certify::{Certifier, Record, Summary, write_certificates};
use blindspot::search::{SearchOptions, Target, search};
use blindspot_data::files;

use super::{json, load, say};
use crate::args::{Certify, Common};
use crate::exit::{Interrupted, Usage};
use crate::interrupt::interrupted;
use crate::progress::Progress;

pub(super) fn run(command: &Certify, common: &Common, progress: &Progress) -> anyhow::Result<()> {
    let beside = command.out.with_extension("json");
    let plot = command.out.with_extension("svg");
    if beside == command.out || plot == command.out {
        let why = "--out must end in neither .json nor .svg: those are for summary and plot";
        return Err(Usage(why.into()).into());
    }
    let model = load::model(&command.model)?;
    let choice = Some((&command.choice, command.seed));
    let images = load::images(&command.data, choice, Some(&model), common, progress)?;
    let labels = load::labels(&images, &command.data.data)?;
    // Before the work: a file that can't be written is found out now.
    files::check_writable(&command.out)?;
    let certifier = Certifier::new(&model.network, command.r#box)?;
    let mut limits = Vec::new();
    if let Some(why) = certifier.without_linear() {
        limits.push(format!("by the product of the layers' bounds alone: {why}"));
    }
    if let Some(why) = certifier.without_lipschitz() {
        limits.push(format!(
            "the product of the layers' bounds is not known: {why}"
        ));
    }
    if command.time_limit.is_some() && !certifier.refines() {
        limits.push(
            "on the first bounds, --time-limit or not: it takes one or two fully connected layers of \
             sigmoid or tanh units below the last"
                .into(),
        );
    }
    let options = SearchOptions {
        target: Target::Untargeted,
        seed: command.seed,
        bounds: command.r#box,
        ..SearchOptions::default()
    };
    let all: Vec<usize> = (0..images.len()).collect();
    let began = std::time::Instant::now();
    let mut certificates = certifier.certify(&images, labels, &all, progress)?;
    if let Some(limit) = command.time_limit {
        let deadline = began + Duration::from_secs_f64(limit);
        certifier.refine(&mut certificates, &images, deadline, progress);
    }
    let seconds = began.elapsed().as_secs_f64();
    let examples = search(&model.network, &images, labels, &all, &options, progress);
    images.intact()?;
    let examples = examples?;
    if interrupted() {
        return Err(Interrupted("interrupted; nothing was written".into()).into());
    }
    let l2: Vec<f64> = examples
        .iter()
        .map(|example| {
            if example.success {
                example.l2
            } else {
                f64::INFINITY
            }
        })
        .collect();
    let places: Vec<usize> = certificates
        .iter()
        .map(|c| images.indices()[c.index])
        .collect();
    write_certificates(&command.out, &certificates, &places, &l2)?;
    let record = Record {
        options,
        preprocess: model.preprocess,
        data: command.data.data.clone(),
        data_sha256: images.hashes().iter().cloned().collect(),
        model_sha256: model.sha256.clone(),
        versions: BTreeMap::from([("blindspot".into(), env!("CARGO_PKG_VERSION").into())]),
        time_limit: command.time_limit,
        limits,
        summary: Summary::of(&certificates, &l2),
    };
    files::write_atomically(&beside, |writer| {
        serde_json::to_writer_pretty(&mut *writer, &record)?;
        writeln!(writer)
    })?;
    let distances: Vec<f64> = certificates.iter().map(|c| c.distance).collect();
    let picture = blindspot_report::certificate_plot(&distances, &l2);
    files::write_atomically(&plot, |writer| writer.write_all(picture.as_bytes()))?;
    let Summary {
        samples,
        already_wrong,
        found,
        certificate_mean,
        l2_mean,
        ratio,
        ..
    } = record.summary;
    let lines = record
        .limits
        .iter()
        .map(|why| format!("\nCertificates rest {why}"));
    say(
        common,
        &format!(
            "{samples} images of {}, {already_wrong} of them wrong as they are\n\
             certificate        mean L2 norm {certificate_mean:.4}, {:.1} ms an image\n\
             smallest change    mean L2 norm {l2_mean:.4}, found for {found}\n\
             ratio of the means {}{}\n\
             Written: {}",
            command.data.data,
            1e3 * seconds / samples.max(1) as f64,
            ratio.map_or("not known".into(), |ratio| format!("{ratio:.3}")),
            lines.collect::<String>(),
            command.out.display(),
        ),
    );
    json(common, &record)
}
