//! The files of an attack, written from what its journals hold.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use blindspot::examples::{
    About, Layout, Origin, Record, StoredExamples, confidences, write_record, write_stored,
};
use blindspot::model::Model;
use blindspot::run::journal::{Entries, Work as _};
use blindspot_data::ImageSet;
use blindspot_data::files;
use blindspot_report::{AttackPage, Made, SavedImages, attack_page, save_images, table_changes};
use serde::Serialize;

use super::text::text;
use crate::args::{Attack, Common, Merge};
use crate::commands::out::{beside, refuse_other_results};
use crate::commands::page;
use crate::errors::Usage;
use crate::print::{json, say};
use crate::progress::Progress;

/// Rows of a table that are told of on the terminal.
const SENTENCES: usize = 10;

/// What tells the examples of one command from those of another: fields of [`Record`].
#[derive(Serialize)]
pub(super) struct Identity<'a> {
    #[serde(flatten)]
    pub(super) origin: &'a Origin,
    pub(super) layout: &'a Layout,
    pub(super) smallest: Option<usize>,
}

/// Where results go.
pub(super) struct Written<'a> {
    pub(super) out: &'a Path,
    pub(super) json: PathBuf,
    /// Where there are certificates.
    pub(super) svg: Option<PathBuf>,
    /// The curve of robust accuracy as a table and a plot, where it was asked for.
    pub(super) robust: Option<[PathBuf; 2]>,
    /// The rows of a table before and after, where its columns are known.
    pub(super) changes: Option<PathBuf>,
    pub(super) save_images: Option<&'a Path>,
    pub(super) report: Option<&'a Path>,
    /// How many of the images fooled are kept, those with the smallest perturbations; all images if None.
    pub(super) smallest: Option<usize>,
    /// Only the search itself has this at hand.
    pub(super) known: Option<Known<'a>>,
}

/// What is written beside arrays and record.
#[derive(Clone, Copy)]
pub(super) struct Files {
    certificates: bool,
    robust: bool,
    changes: bool,
}

impl Files {
    /// What a command asks for.
    pub(super) fn of(command: &Attack) -> Files {
        Files {
            certificates: command.certify,
            robust: !command.epsilon.is_empty(),
            changes: command.columns.is_some(),
        }
    }
}

/// What was written, and what is told of it.
pub(super) struct Told {
    pub(super) record: Record,
    /// Of a table, what changes in its first rows, in sentences.
    pub(super) changes: Vec<String>,
}

/// What a page says besides what is kept of a search.
pub(super) struct Known<'a> {
    pub(super) file: &'a Path,
    pub(super) model: &'a Model,
    pub(super) images: &'a ImageSet,
    pub(super) progress: &'a Progress,
}

impl<'a> Written<'a> {
    pub(super) fn new(out: &'a Path, files: Files) -> Result<Written<'a>, Usage> {
        let named = |is_there: bool, ending| is_there.then(|| beside(out, ending)).transpose();
        let svg = named(files.certificates, "svg")?;
        let robust = named(files.robust, "robust.csv")?.zip(named(files.robust, "robust.svg")?);
        let robust = robust.map(|(table, plot)| [table, plot]);
        Ok(Written {
            out,
            json: beside(out, "json")?,
            svg,
            robust,
            changes: named(files.changes, "changes.csv")?,
            save_images: None,
            report: None,
            smallest: None,
            known: None,
        })
    }

    /// The names of what labels and predictions stand for, if they are known: of a goal's answers, or of classes.
    fn answers(&self, record: &Record, layout: &Layout) -> Option<Cow<'_, [String]>> {
        if let Some(goal) = &record.origin.options.goal {
            return Some(goal.answers(layout.outputs).into());
        }
        let Known { model, images, .. } = self.known.as_ref()?;
        model.classes().or(images.classes()).map(Cow::from)
    }

    /// The files, but for images and page, the arrays first.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let files = [Some(self.out), Some(&*self.json), self.svg.as_deref()];
        let files = files.into_iter().flatten().map(Path::to_owned);
        let files = files.chain(self.robust.iter().flatten().cloned());
        files.chain(self.changes.clone()).collect()
    }

    /// All files, the record first, with the folder of images and the page.
    pub(super) fn all(&self) -> Vec<PathBuf> {
        let mut all = self.files();
        all.swap(0, 1);
        all.extend(self.save_images.map(Path::to_owned));
        all.extend(self.report.map(page::file));
        all
    }
}

/// Writes the files of the examples that journals hold.
pub(super) fn write(entries: &Entries, written: &Written<'_>) -> anyhow::Result<Told> {
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
    let examples = StoredExamples::new(entries, layout.clone())?;
    let mut record = Record::of(origin, &examples)?;
    let mut kept = None;
    if let Some(count) = written.smallest {
        let smallest = examples.smallest(record.origin.options.norm, count)?;
        kept = Some(entries.only(&smallest.iter().map(|&(position, _)| position).collect()));
        record.smallest = Some(count);
        record.smallest_indices = smallest.into_iter().map(|(_, index)| index).collect();
    }
    let kept = StoredExamples::new(kept.as_ref().unwrap_or(entries), layout)?;
    // First of all whose files these are: a kill between two of them must not leave one that is nobody's.
    write_record(&written.json, &record)?;
    write_stored(written.out, &kept)?;
    if let Some(dir) = written.save_images {
        save(dir, &kept, &record, image_shape, written)?;
    }
    if examples.layout().certificate {
        let norm = record.origin.options.norm;
        let pairs: Vec<(f64, f64)> = examples.certificates(norm)?.collect::<Result<_, _>>()?;
        let (certificates, found): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let picture = blindspot_report::certificate_plot(&certificates, &found, norm);
        let plot = beside(written.out, "svg")?;
        files::write_atomically(&plot, |sink| sink.write_all(picture.as_bytes()))?;
    }
    if let Some([table, plot]) = &written.robust {
        let [svg, csv] = blindspot_report::robust_accuracy(&examples, &record)?;
        files::write_atomically(table, |sink| sink.write_all(csv.as_bytes()))?;
        files::write_atomically(plot, |sink| sink.write_all(svg.as_bytes()))?;
    }
    if let Some(report) = written.report {
        let page = page_of(&examples, &record, image_shape, report, written)?;
        page::write(report, &page)?;
    }
    let changes = write_changes(&kept, &record, written)?;
    Ok(Told { record, changes })
}

/// Writes the rows of a table before and after; gives what changes in the first of them, in sentences.
fn write_changes(
    kept: &StoredExamples<'_>,
    record: &Record,
    written: &Written<'_>,
) -> anyhow::Result<Vec<String>> {
    let answers = written.answers(record, kept.layout());
    let goal = record.origin.options.goal.as_ref().map(ToString::to_string);
    let changes = table_changes(record, answers.as_deref(), goal.as_deref());
    let Some((changes, file)) = changes.zip(written.changes.as_deref()) else {
        return Ok(Vec::new());
    };
    let csv = changes.csv(kept)?;
    files::write_atomically(file, |sink| sink.write_all(csv.as_bytes()))?;
    Ok(changes.first(kept, SENTENCES)?)
}

/// Writes the folder of adversarial images. Its page has no command: it is the same for any number of shards.
fn save(
    dir: &Path,
    kept: &StoredExamples<'_>,
    record: &Record,
    image_shape: [usize; 3],
    written: &Written<'_>,
) -> anyhow::Result<()> {
    let provenance = &record.origin.provenance;
    let made = Made::of(provenance, &record.origin.options, Vec::new())?;
    let known = written.known.as_ref();
    let files = known.map_or(BTreeMap::new(), |known| files_of(known.images));
    let answers = written.answers(record, kept.layout());
    let shown = SavedImages {
        subject: &provenance.data,
        image_shape,
        classes: answers.as_deref(),
        made: &made,
    };
    save_images(
        dir,
        &shown,
        |index| files.get(&index).cloned(),
        kept.saved()?,
    )?;
    Ok(())
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
    let answers = written.answers(record, examples.layout());
    let provenance = &record.origin.provenance;
    let data = &provenance.data;
    let mut subject = format!("a network on {data}");
    if let Some(Known {
        file,
        model,
        images,
        progress,
    }) = &written.known
    {
        let model_name = file.file_name().unwrap_or(file.as_os_str()).display();
        subject = format!(
            "{model_name} on {} images of {}",
            examples.len(),
            images.name()
        );
        if record.origin.options.goal.is_none() {
            confidence = confidences::<anyhow::Error>(*model, examples, *progress)?;
        }
        files = files_of(images);
    }
    let made = Made::of(provenance, &record.origin.options, Vec::new())?.by(page::command());
    let out = written.out;
    let links = [out.to_owned(), written.json.clone()];
    let links: Vec<_> = links
        .iter()
        .filter_map(|file| page::link(report, file))
        .collect();
    let shown = AttackPage {
        subject: &subject,
        image_shape,
        classes: answers.as_deref(),
        files: &files,
        confidences: &confidence,
        links: &links,
        made: &made,
    };
    Ok(attack_page(examples, record, &shown)?)
}

/// Writes the files of merged shards.
pub(in crate::commands) fn merge(
    entries: &Entries,
    command: &Merge,
    common: &Common,
) -> anyhow::Result<()> {
    let About { origin, layout, .. } = About::of(entries)?;
    let written = Written {
        save_images: command.save_images.as_deref(),
        report: command.report.as_deref(),
        smallest: command.smallest,
        ..Written::new(
            &command.out,
            Files {
                certificates: layout.certificate,
                robust: !origin.epsilons.is_empty(),
                changes: origin.options.columns.is_some(),
            },
        )?
    };
    let identity = Identity {
        origin: &origin,
        layout: &layout,
        smallest: command.smallest,
    };
    refuse_other_results(&written.all(), &identity, command.replace.overwrite)?;
    files::check_writable(&command.out)?;
    page::check(command.report.as_deref())?;
    let told = write(entries, &written)?;
    tell(common, &told, &written)
}

/// Says what was found.
pub(super) fn tell(common: &Common, told: &Told, written: &Written<'_>) -> anyhow::Result<()> {
    say(common, &text(told, written))?;
    json(common, &told.record)
}

/// The files of images by their indices: by their names without folders, where these are different ones.
fn files_of(images: &ImageSet) -> BTreeMap<usize, String> {
    let indices = images.indices().iter().enumerate();
    let files = indices.filter_map(|(at, &index)| Some((index, images.file(at)?)));
    let files: BTreeMap<usize, &Path> = files.collect();
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
