//! `blindspot attack`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use blindspot::certify::Certifier;
use blindspot::examples::{
    About, CertificateSummary, Layout, Origin, Record, StoredExamples, Summary, confidences,
    write_record, write_stored,
};
use blindspot::image_files::save_images;
use blindspot::inputs::InMemory;
use blindspot::model::{InputBox, Model};
use blindspot::provenance::Provenance;
use blindspot::range_files::{RangeFileError, apply_bounds, apply_mask};
use blindspot::run::communicator::{Communicator, Task, distribute};
use blindspot::run::journal::{Entries, Work as _};
use blindspot::run::monitor::Monitor;
use blindspot::search::{
    Block, Bounds, Criterion, EightBit, Example, SearchOptions, Target, eight_bit, search_in_blocks,
};
use blindspot_data::files;
use blindspot_data::suggest;
use blindspot_data::{ImageRequest, ImageSet};
use blindspot_net::Network;
use blindspot_report::{AttackPage, attack_page, digits};
use serde::Serialize;

use super::load;
use super::out::{beside, refuse_inputs, refuse_other_results};
use super::page;
use super::part::Part;
use crate::args::{Attack, Common, Merge, OtherRuntime};
use crate::errors::Usage;
use crate::interrupt::Finishing;
use crate::onnxruntime::Onnxruntime;
use crate::print::{json, of, say};
use crate::progress::Progress;
use crate::ranks;

/// Parts of a block that are finished one after the other, where there is more to do than search.
const BLOCK_PARTS: usize = 4;
/// Its name among the versions of a record.
const ONNXRUNTIME: &str = "onnxruntime";

pub(super) fn run(command: &Attack, common: &Common, progress: &Progress) -> anyhow::Result<()> {
    // Before anything is read: what is wrong with the command is said first.
    let data = command.images.in_place_of(&command.data);
    let mut written = Written::new(
        &command.out,
        command.certify,
        command.save_images.as_deref(),
        command.report.as_deref(),
    )?;
    let (mask, bounds) = (command.mask.clone(), command.bounds.clone());
    let read = [command.model.files(), data.files()].concat();
    let read: Vec<PathBuf> = read.into_iter().chain(mask).chain(bounds).collect();
    refuse_inputs(&written.all(), &read)?;
    let request = ImageRequest {
        choice: Some(command.choice.choice(command.seed)?),
        ..data.request()
    };
    let source = load::Source::of(&command.model, command.r#box, common);
    let model = load::model(&source, &request, common, progress)?;
    let images = load::images(&request, Some(&model), common, progress)?;
    let labels = &*load::labels_or_answers(&images, &model, common)?;
    let target = target(&command.target, model.classes().or(images.classes()))?;
    let network = model.network();
    let other = match command.verify {
        Some(OtherRuntime::Onnxruntime) => {
            Some(Onnxruntime::new(source.path, &source.interface, &model)?)
        }
        None => None,
    };
    let mut provenance = Provenance::of(&model, &images, &data.data);
    if let Some(other) = &other {
        let versions = &mut provenance.versions;
        versions.insert(ONNXRUNTIME.into(), other.version().into());
    }

    let (ranges, ranges_sha256) = ranges(command, network)?;
    let options = SearchOptions::default()
        .target(target)
        .seed(command.seed)
        .input_box(command.r#box)
        .method(command.method)
        .criterion(Criterion {
            top_k: command.top_k,
            confidence: command.confidence,
        })
        .max_evaluations(command.max_evaluations)
        .time_limit(command.time_limit)
        .bounds(ranges);
    options.check_labels(network.output_len(), labels)?;
    let certifier = if command.certify {
        Some(Certifier::in_box(&model, reach(&options))?)
    } else {
        None
    };
    let about = About {
        origin: Origin {
            options: options.clone(),
            provenance,
            answers_as_labels: images.labels().is_none(),
            ranges_sha256,
        },
        layout: Layout {
            shape: network.input_shape().to_vec(),
            // Only these are inputs of a model that takes whole numbers.
            eight_bit: command.save_images.is_some() || model.takes_whole_numbers(),
            certificate: command.certify,
        },
        image_shape: images.shape(),
    };
    let ranks = ranks::here();
    ranks::agree_on([("work", serde_json::to_string(&about)?)])?;
    let work = Work {
        model: &model,
        images: &images,
        labels,
        options: &options,
        layout: &about.layout,
        certifier,
        other,
        begun: Instant::now(),
    };
    if !ranks.is_root() {
        let none = |_| -> anyhow::Result<usize> { unreachable!("rank 0 takes what is found") };
        return work.share(ranks, &[], none, progress).map(drop);
    }
    // Before the search: a file that can't be written is found out now.
    page::check(command.report.as_deref())?;
    if command.shard.is_none() {
        let (origin, layout) = (&about.origin, &about.layout);
        let (identity, overwrite) = (Identity { origin, layout }, command.replace.overwrite);
        refuse_other_results(&written.all(), &identity, overwrite)?;
    }
    let mut part = Part::open(&about, images.len(), command.shard, &command.out, common)?;
    let mut remaining = part.remaining();
    // An image of the class that is asked for has nothing to be searched.
    remaining.retain(|&position| options.target != Target::Class(labels[position]));
    let take = |rows: Vec<u8>| part.keep_rows(&rows);
    let filled = work.share(ranks, &remaining, take, progress);
    written.known = Some(Known {
        file: &command.model.model,
        model: &model,
        images: &images,
    });
    match part.end(filled, common, |entries| write(entries, &written))? {
        Some(record) => tell(common, &record, &written),
        None => Ok(()),
    }
}

/// Writes the files of merged shards.
pub(super) fn merge(entries: &Entries, command: &Merge, common: &Common) -> anyhow::Result<()> {
    let About { origin, layout, .. } = About::of(entries)?;
    let save_images = command.save_images.as_deref();
    let report = command.report.as_deref();
    let written = Written::new(&command.out, layout.certificate, save_images, report)?;
    let (origin, layout) = (&origin, &layout);
    let (identity, overwrite) = (Identity { origin, layout }, command.replace.overwrite);
    refuse_other_results(&written.all(), &identity, overwrite)?;
    files::check_writable(&command.out)?;
    page::check(command.report.as_deref())?;
    let record = write(entries, &written)?;
    tell(common, &record, &written)
}

/// The target that a word names: a kind of targets, a class by its number, or one of the `classes` by its name.
fn target(word: &str, classes: Option<&[String]>) -> Result<Target, Usage> {
    let named = || classes?.iter().position(|class| class == word);
    word.parse().or_else(|why: String| {
        let likely = suggest(word, classes.unwrap_or_default().iter().map(String::as_str));
        let likely = likely.map_or(String::new(), |class| format!("; did you mean `{class}`?"));
        named().map(Target::Class).ok_or(Usage(why + &likely))
    })
}

/// A box that every input may move in.
fn reach(options: &SearchOptions) -> InputBox {
    let Some(ranges) = &options.bounds else {
        return options.input_box;
    };
    InputBox {
        lower: ranges.lower.iter().copied().fold(f32::INFINITY, f32::min),
        upper: ranges
            .upper
            .iter()
            .copied()
            .fold(f32::NEG_INFINITY, f32::max),
    }
}

/// What is done with each image.
struct Work<'a> {
    model: &'a Model,
    images: &'a ImageSet,
    labels: &'a [usize],
    options: &'a SearchOptions,
    layout: &'a Layout,
    certifier: Option<Certifier>,
    /// Who is asked about the final images.
    other: Option<Onnxruntime>,
    begun: Instant,
}

impl Work<'_> {
    /// Searches from the `remaining` images, which rank 0 knows, together with all other ranks;
    /// `take` gets what is found, some rows at a time. Gives whether all is done.
    fn share(
        &self,
        ranks: &dyn Communicator,
        remaining: &[usize],
        take: impl FnMut(Vec<u8>) -> anyhow::Result<usize> + Send,
        progress: &Progress,
    ) -> anyhow::Result<bool> {
        let work = |task: Task<'_, anyhow::Error>| self.search(task);
        distribute(ranks, remaining, "search", progress, work, take)
    }

    fn search(&self, task: Task<'_, anyhow::Error>) -> anyhow::Result<()> {
        let Task {
            positions,
            monitor,
            emit,
        } = task;
        // Of no images at all the search says so.
        if positions.is_empty() && !self.images.is_empty() {
            return Ok(());
        }
        let passed = self.begun.elapsed().as_secs_f64();
        let left = self
            .options
            .time_limit
            .map(|limit| (limit - passed).max(0.0));
        let options = self.options.clone().time_limit(left);
        let keep = |block| emit(self.rows(block)?);
        search_in_blocks(
            self.model,
            self.images,
            self.labels,
            positions,
            &options,
            monitor,
            keep,
        )
    }

    /// The rows of a block, as [`Part::keep_rows`] takes them. Where the work is interrupted, of as
    /// many of its examples as can be finished at once.
    fn rows(&self, block: Block) -> anyhow::Result<Vec<u8>> {
        let Block {
            mut examples,
            originals,
        } = block;
        let more = self.layout.eight_bit || self.certifier.is_some() || self.other.is_some();
        let parts = if more { BLOCK_PARTS } else { 1 };
        let images = examples.len().div_ceil(parts).max(1);
        let mut rows = Vec::new();
        let each = examples.chunks_mut(images);
        for (examples, originals) in each.zip(originals.chunks(images * self.images.image_len())) {
            match self.rows_of(examples, originals)? {
                Some(part) => rows.extend(part),
                None => break,
            }
        }
        Ok(rows)
    }

    /// The rows of some examples; `None` where the work was interrupted before they were finished.
    fn rows_of(
        &self,
        examples: &mut [Example],
        originals: &[f32],
    ) -> anyhow::Result<Option<Vec<u8>>> {
        let mut eight_bit = if self.layout.eight_bit {
            let (model, options) = (self.model, self.options);
            Some(eight_bit(model, options, examples, originals, &Finishing)?)
        } else {
            None
        };
        if let Some(other) = &self.other {
            self.ask(other, examples, eight_bit.as_deref_mut())?;
        }
        let certificates = match &self.certifier {
            Some(certifier) => {
                let originals = InMemory::new(originals.to_vec(), self.images.image_len());
                let labels: Vec<usize> = examples.iter().map(|example| example.label).collect();
                let all: Vec<usize> = (0..examples.len()).collect();
                Some(certifier.certify_inputs(&originals, &labels, &all, &Finishing)?)
            }
            None => None,
        };
        if Finishing.cancelled() {
            return Ok(None);
        }
        let mut rows = Vec::new();
        let originals = originals.chunks_exact(self.images.image_len());
        for (i, (example, original)) in examples.iter().zip(originals).enumerate() {
            let eight_bit = eight_bit.as_ref().map(|images| &images[i]);
            let certificate = certificates.as_ref();
            let is_right = !example.already_misclassified;
            let certificate = certificate.map(|found| found[i].of_answer(is_right).radius);
            let layout = self.layout;
            rows.extend((example.position as u64).to_le_bytes());
            rows.extend(layout.content(example, original, eight_bit, certificate));
        }
        Ok(Some(rows))
    }
}

impl Work<'_> {
    /// Asks another runtime about the final images; what it refutes is no success.
    fn ask(
        &self,
        other: &Onnxruntime,
        examples: &mut [Example],
        eight_bit: Option<&mut [EightBit]>,
    ) -> anyhow::Result<()> {
        let reached = |example: &Example, outputs: &[f64]| {
            self.options.reached(example.label, example.target, outputs)
        };
        let asked = |example: &Example| example.success && !example.already_misclassified;
        if let Some(eight_bit) = eight_bit {
            let mut found: Vec<_> = eight_bit.iter_mut().zip(&*examples).collect();
            found.retain(|(eight, example)| eight.success && asked(example));
            let images: Vec<Vec<f32>> = found.iter().map(|(e, _)| e.values().collect()).collect();
            let outputs = other.outputs(images.iter().map(Vec::as_slice))?;
            for ((eight, example), outputs) in found.into_iter().zip(outputs) {
                eight.success = reached(example, &outputs);
            }
        }
        let mut found: Vec<_> = examples.iter_mut().filter(|e| asked(e)).collect();
        let outputs = other.outputs(found.iter().map(|example| &example.adversarial[..]))?;
        for (example, outputs) in found.iter_mut().zip(outputs) {
            example.success = reached(example, &outputs);
            example.refuted = !example.success;
        }
        Ok(())
    }
}

/// What tells the examples of one command from those of another: fields of [`Record`].
#[derive(Serialize)]
struct Identity<'a> {
    #[serde(flatten)]
    origin: &'a Origin,
    layout: &'a Layout,
}

/// Where results go.
struct Written<'a> {
    out: &'a Path,
    json: PathBuf,
    /// Where there are certificates.
    svg: Option<PathBuf>,
    save_images: Option<&'a Path>,
    report: Option<&'a Path>,
    /// Only the search itself has this at hand.
    known: Option<Known<'a>>,
}

/// What a page says besides what is kept of a search.
struct Known<'a> {
    file: &'a Path,
    model: &'a Model,
    images: &'a ImageSet,
}

impl<'a> Written<'a> {
    fn new(
        out: &'a Path,
        certificates: bool,
        save_images: Option<&'a Path>,
        report: Option<&'a Path>,
    ) -> Result<Written<'a>, Usage> {
        let svg = certificates.then(|| beside(out, "svg")).transpose()?;
        Ok(Written {
            out,
            json: beside(out, "json")?,
            svg,
            save_images,
            report,
            known: None,
        })
    }

    /// All files, the record first, and the folder of images.
    fn all(&self) -> Vec<PathBuf> {
        let files = [Some(&*self.json), Some(self.out), self.svg.as_deref()];
        let all = files.into_iter().chain([self.save_images]).flatten();
        let all = all.map(Path::to_owned);
        all.chain(self.report.map(page::file)).collect()
    }
}

/// Writes the files of the examples that journals hold.
fn write(entries: &Entries, written: &Written<'_>) -> anyhow::Result<Record> {
    let About {
        origin,
        layout,
        image_shape,
        ..
    } = About::of(entries)?;
    if written.save_images.is_some() && !layout.eight_bit {
        let why = "the shards hold no 8-bit images: leave --save-images out, or run them with it";
        return Err(Usage(why.into()).into());
    }
    let examples = StoredExamples::new(entries, layout)?;
    // First of all whose files these are: a kill between two of them must not leave one that is nobody's.
    let record = Record::of(origin, &examples)?;
    write_record(&written.json, &record)?;
    write_stored(written.out, &examples)?;
    if let Some(dir) = written.save_images {
        save_images(dir, examples.pictures()?, image_shape)?;
    }
    if examples.layout().certificate {
        let pairs: Vec<(f64, f64)> = examples.certificates()?.collect::<Result<_, _>>()?;
        let (certificates, found): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let picture = blindspot_report::certificate_plot(&certificates, &found);
        let plot = beside(written.out, "svg")?;
        files::write_atomically(&plot, |sink| sink.write_all(picture.as_bytes()))?;
    }
    if let Some(report) = written.report {
        let page = page_of(&examples, &record, image_shape, report, written)?;
        page::write(report, &page)?;
    }
    Ok(record)
}

/// The page of an attack.
fn page_of(
    examples: &StoredExamples<'_>,
    record: &Record,
    image_shape: [usize; 3],
    report: &Path,
    written: &Written<'_>,
) -> anyhow::Result<String> {
    let (mut files, mut confidence) = (BTreeMap::new(), Vec::new());
    let mut classes = None;
    let provenance = &record.origin.provenance;
    let data = &provenance.data;
    let mut subject = format!("a network on {data}");
    if let Some(Known {
        file,
        model,
        images,
    }) = &written.known
    {
        let model_name = file.file_name().unwrap_or(file.as_os_str()).display();
        subject = format!(
            "{model_name} on {} images of {}",
            examples.len(),
            images.name()
        );
        classes = model.classes().or(images.classes());
        confidence = confidences::<anyhow::Error>(*model, examples)?;
        let names = images.indices().iter();
        let name = |(at, &index)| Some((index, images.file(at)?));
        files = short(names.enumerate().filter_map(name).collect());
    }
    let options = serde_json::to_string(&record.origin.options)?;
    let facts = vec![
        ("images".to_owned(), data.clone()),
        (
            "SHA-256 of the model".into(),
            provenance.model_sha256.clone(),
        ),
        ("options".into(), options),
    ];
    let made = page::made(facts, &provenance.data_sha256, &provenance.versions);
    let out = written.out;
    let links = [out.to_owned(), written.json.clone()];
    let links: Vec<_> = links
        .iter()
        .filter_map(|file| page::link(report, file))
        .collect();
    let shown = AttackPage {
        subject: &subject,
        image_shape,
        classes,
        files: &files,
        confidences: &confidence,
        links: &links,
        made: &made,
    };
    Ok(attack_page(examples, record, &shown)?)
}

/// Says what was found.
fn tell(common: &Common, record: &Record, written: &Written<'_>) -> anyhow::Result<()> {
    say(common, &text(record, written))?;
    json(common, record)
}

/// The files of images by their names without folders, where these are different ones.
fn short(files: BTreeMap<usize, &Path>) -> BTreeMap<usize, String> {
    let names: BTreeSet<_> = files.values().map(|file| file.file_name()).collect();
    let distinct = names.len() == files.len();
    let short = |file: &Path| match file.file_name().filter(|_| distinct) {
        Some(name) => name.to_string_lossy().into_owned(),
        None => file.display().to_string(),
    };
    files
        .into_iter()
        .map(|(index, file)| (index, short(file)))
        .collect()
}

/// The SHA-256 of the file that an option names.
type Hashes = BTreeMap<String, String>;

/// The ranges of the input's values that the command asks for, and their files' hashes.
fn ranges(
    command: &Attack,
    network: &Network<f32>,
) -> anyhow::Result<(Option<Arc<Bounds>>, Hashes)> {
    let mut hashes = Hashes::new();
    if command.mask.is_none() && command.bounds.is_none() {
        return Ok((None, hashes));
    }
    let mut ranges = Bounds::within(command.r#box, network.input_len());
    type Apply = fn(&mut Bounds, &[u8], &[usize]) -> Result<(), RangeFileError>;
    let files: [(&str, &Option<PathBuf>, Apply); 2] = [
        ("bounds", &command.bounds, apply_bounds),
        ("mask", &command.mask, apply_mask),
    ];
    for (option, path, apply) in files {
        let Some(path) = path else { continue };
        let bytes = files::read_limited(path, 1 << 30)?;
        apply(&mut ranges, &bytes, network.input_shape())
            .map_err(|error| Usage(format!("{}: {error}", path.display())))?;
        hashes.insert(option.to_owned(), files::sha256_hex(&bytes));
    }
    Ok((Some(Arc::new(ranges)), hashes))
}

/// The summary for people.
fn text(record: &Record, written: &Written<'_>) -> String {
    let Summary {
        samples,
        right,
        already_wrong: _,
        searched,
        fooled,
        answers_target,
        no_gradient,
        refuted,
        distortion,
        evaluations_mean,
        gradients_mean,
    } = record.summary;
    let mut lines = vec![
        format!(
            "{samples} images of {}, target {}",
            record.origin.provenance.data, record.origin.options.target
        ),
        if record.origin.answers_as_labels {
            "right as they are  all, as no classes are given and the model's answers count as right"
                .into()
        } else {
            format!("right as they are  {}", of(right, samples))
        },
    ];
    lines.push(match answers_target {
        Some(count) => format!("answers the target {} searched from", of(count, searched)),
        None => format!("fooled             {} searched from", of(fooled, searched)),
    });
    if let Some(version) = record.origin.provenance.versions.get(ONNXRUNTIME) {
        let asked = fooled + refuted;
        lines.push(format!(
            "onnxruntime        {version} agrees with {}",
            of(fooled, asked)
        ));
    }
    if no_gradient > 0 {
        lines.push(format!(
            "no gradient        {no_gradient}: nothing is known of them; attack the model's logits in place \
             of its probabilities"
        ));
    }
    lines.push(match distortion {
        Some(distortion) => format!(
            "distortion         mean {}, pooled {}, median {} of the {fooled} fooled\n\
             L2 norm            mean {} of these",
            digits(distortion.mean),
            digits(distortion.pooled),
            digits(distortion.median),
            digits(distortion.l2_mean)
        ),
        None => "distortion         none, as no image was fooled".into(),
    });
    lines.push(match evaluations_mean.zip(gradients_mean) {
        Some((evaluations, gradients)) => format!(
            "evaluations        {evaluations:.0} an image searched from, {gradients:.0} gradients"
        ),
        None => "evaluations        none, as no image was searched from".into(),
    });
    if let Some(CertificateSummary { mean, ratio }) = record.certificate {
        let mean = match mean {
            Some(mean) => format!("mean L2 norm {} of the {right} right", digits(mean)),
            None => "none, as no image is right".into(),
        };
        let ratio =
            ratio.map(|ratio| format!(", {ratio:.3} of the perturbations' of those fooled"));
        lines.push(format!(
            "certificate        {mean}{}; {} shows each image",
            ratio.unwrap_or_default(),
            beside(written.out, "svg").map_or(String::new(), |svg| svg.display().to_string())
        ));
    }
    if let Some(eight) = &record.eight_bit {
        let distortion = eight.distortion_mean;
        let distortion =
            distortion.map(|mean| format!("; distortion mean {} of these", digits(mean)));
        lines.push(format!(
            "as 8-bit files     {} fooled, {} of them by rounding alone{}",
            eight.fooled,
            eight.rounded,
            distortion.unwrap_or_default()
        ));
    }
    if let Some(dir) = written.save_images {
        lines.push(format!("Saved: {}", dir.display()));
    }
    lines.push(format!("Written: {}", written.out.display()));
    if let Some(report) = written.report {
        lines.push(format!("Page: {}", page::file(report).display()));
    }
    lines.join("\n")
}
