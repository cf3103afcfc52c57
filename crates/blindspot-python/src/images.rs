//! Image sets, and inputs that are arrays of Python's.

use std::path::PathBuf;

use blindspot::ErrorKind;
use blindspot::inputs::{InputError, Inputs};
use blindspot_data::{
    Columns, DataSpec, Fit, ImageSet, Locations, ReadLimit, Resize, Silent, read_classes,
    table_in_memory,
};
use blindspot_net::Budget;
use numpy::{PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::errors::{Failure, fail};
use crate::model::Model;
use crate::work::{Watch, read, run_whole};

/// What the columns of a table are.
#[pyclass(frozen, module = "blindspot._native")]
pub(crate) struct Schema(blindspot_data::Schema);

#[pymethods]
impl Schema {
    /// A description that is a file in TOML.
    #[staticmethod]
    fn open(path: PathBuf) -> Result<Schema, Failure> {
        Ok(Schema(blindspot_data::Schema::open(&path)?))
    }

    /// A description in JSON.
    #[staticmethod]
    fn parse(json: &str) -> Result<Schema, Failure> {
        let schema = blindspot_data::Schema::parse_json(json);
        Ok(Schema(schema.map_err(|why| fail(ErrorKind::Data, why))?))
    }

    /// The SHA-256 of the file.
    #[getter]
    fn sha256(&self) -> Option<&str> {
        self.0.sha256()
    }
}

/// Images of one shape, perhaps with their classes.
#[pyclass(frozen, module = "blindspot._native")]
pub(crate) struct Images {
    set: ImageSet,
    /// Whether they are pictures of any size, which are resized and cropped as a model's file says.
    pictures: bool,
}

impl Images {
    fn with(&self, set: ImageSet) -> Images {
        Images {
            set,
            pictures: self.pictures,
        }
    }
}

#[pymethods]
impl Images {
    /// The set that a specification names, as the command's `--data` does; no more than the first images are read where
    /// a number is given, and no more memory is taken than the model may.
    #[staticmethod]
    fn load(
        py: Python<'_>,
        spec: &str,
        data_dir: Option<PathBuf>,
        first: Option<usize>,
        model: Option<&Model>,
        columns: Option<&Schema>,
    ) -> Result<Images, Failure> {
        let spec: DataSpec = spec
            .parse()
            .map_err(|error| fail(ErrorKind::Usage, error))?;
        let budget = model.map_or_else(Budget::default, |model| *model.model().budget());
        let limit = ReadLimit {
            images: first.unwrap_or(usize::MAX),
            memory: budget.memory,
        };
        let locations = Locations::new(data_dir);
        let schema = columns.map(|Schema(schema)| schema.clone());
        let set = read(py, move || match schema {
            Some(schema) => spec.load_described(&schema, &limit),
            None => spec.load_within(&limit, &locations, &mut Silent),
        })?;
        Ok(Images {
            pictures: set.is_of_files(),
            set,
        })
    }

    /// The rows of a table, CSV in memory.
    #[staticmethod]
    fn of_table(py: Python<'_>, content: &[u8], columns: &Schema) -> Result<Images, Failure> {
        let set = py.detach(|| table_in_memory(content, &columns.0));
        Ok(Images {
            set: set.map_err(|why| fail(ErrorKind::Data, why))?,
            pictures: false,
        })
    }

    /// Images of bytes, one after the other, of channels, height and width.
    #[staticmethod]
    fn of_bytes(pixels: PyReadonlyArray1<'_, u8>, shape: [usize; 3]) -> Result<Images, Failure> {
        let pixels = pixels.as_slice().map_err(PyErr::from)?.to_vec();
        let set = ImageSet::new("the images", shape, pixels, None, Vec::new());
        Ok(Images {
            set: set.map_err(|why| fail(ErrorKind::Data, why))?,
            pictures: true,
        })
    }

    /// The images as a model takes them, or resized and cropped: pictures as its file of preprocessing says it, unless
    /// something else is asked for.
    #[pyo3(signature = (model, resize, crop, exif))]
    fn fitted(
        &self,
        model: Option<&Model>,
        resize: Option<Vec<usize>>,
        crop: Option<[usize; 2]>,
        exif: bool,
    ) -> Result<Images, Failure> {
        let resize = match resize.as_deref() {
            None => None,
            Some(&[side]) => Some(Resize::Shorter(side)),
            Some(&[height, width]) => Some(Resize::Exactly([height, width])),
            Some(_) => return Err(fail(ErrorKind::Usage, "resize takes S or (H, W)")),
        };
        let described = model.filter(|_| self.pictures).and_then(Model::fit);
        let described = described.unwrap_or_default();
        let fit = Fit {
            resize: resize.or(described.resize),
            crop: crop.or(described.crop),
            upright: exif,
            ..described
        };
        let fit = (fit != Fit::default()).then_some(fit);
        Ok(self.with(match (model, fit) {
            (Some(model), fit) => model.model().fit(&self.set, fit)?,
            (None, Some(fit)) => self.set.fitted(&fit)?,
            (None, None) => self.set.clone(),
        }))
    }

    /// The images with these classes, or those in a file of names.
    fn with_classes(&self, names: Bound<'_, PyAny>) -> Result<Images, Failure> {
        let names = match names.extract::<PathBuf>() {
            Ok(path) => read_classes(&path)?,
            Err(_) => names.extract::<Vec<String>>()?,
        };
        Ok(self.with(self.set.with_classes(names)?))
    }

    /// The first images, or a random choice if there is a seed.
    fn chosen(&self, count: Option<usize>, seed: Option<u64>) -> Images {
        let count = count.unwrap_or(self.set.len()).min(self.set.len());
        self.with(match seed {
            Some(seed) => self.set.shuffled(count, seed),
            None => self.set.first(count),
        })
    }

    /// The images at some positions, in that order.
    fn only(&self, positions: Vec<usize>) -> PyResult<Images> {
        if positions.iter().any(|&position| position >= self.set.len()) {
            return Err(pyo3::exceptions::PyIndexError::new_err("no such image"));
        }
        Ok(self.with(self.set.select(&positions)))
    }

    /// The images whose files can be read, each read once, and what is wrong with the others.
    fn checked(
        &self,
        py: Python<'_>,
        skip_broken: bool,
        watch: Watch,
    ) -> Result<(Images, Vec<String>), Failure> {
        let (images, broken) = run_whole(py, &watch, |monitor| {
            monitor.begin("reading images", self.set.len() as u64);
            let checked = self.set.checked(skip_broken, &|done| {
                monitor.progress(done as u64, "");
            });
            monitor.end();
            checked
        })?;
        let broken = broken.iter();
        let broken = broken.map(|image| format!("{}: {}", image.file.display(), image.why));
        Ok((self.with(images), broken.collect()))
    }

    /// Values of all images, one after the other.
    fn values<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyArray1<f32>>, Failure> {
        let length = self.set.image_len();
        let mut values = vec![0.0; self.set.len() * length];
        py.detach(|| {
            let images = values.chunks_exact_mut(length).enumerate();
            for (position, image) in images {
                self.set.read_image(position, image)?;
            }
            Ok::<(), blindspot_data::DataError>(())
        })?;
        Ok(PyArray1::from_vec(py, values))
    }

    /// The class of each image.
    #[getter]
    fn labels(&self) -> Option<Vec<usize>> {
        self.set.labels().map(<[usize]>::to_vec)
    }

    /// The places of the images in the set that they were chosen from.
    #[getter]
    fn indices(&self) -> Vec<usize> {
        self.set.indices().to_vec()
    }

    #[getter]
    fn classes(&self) -> Option<Vec<String>> {
        self.set.classes().map(<[String]>::to_vec)
    }

    /// What the columns are, of a table that is described, in JSON.
    #[getter]
    fn columns(&self) -> Option<String> {
        let columns = self.set.columns()?;
        Some(serde_json::to_string(columns).expect("columns are JSON"))
    }

    /// Channels, height and width.
    #[getter]
    fn shape(&self) -> [usize; 3] {
        self.set.shape()
    }

    #[getter]
    fn name(&self) -> &str {
        self.set.name()
    }

    #[getter]
    fn notes(&self) -> Vec<String> {
        self.set.notes().to_vec()
    }

    #[getter]
    fn of_files(&self) -> bool {
        self.set.is_of_files()
    }

    #[getter]
    fn hashes(&self) -> Vec<(String, String)> {
        self.set.hashes().to_vec()
    }

    fn __len__(&self) -> usize {
        self.set.len()
    }
}

/// Inputs of a model: a set, or a row of an array for each.
pub(crate) enum Given<'a> {
    Set(&'a ImageSet),
    Rows(&'a [f32], usize),
}

impl Given<'_> {
    /// Work with the inputs that an argument is. A float array is not copied.
    pub(crate) fn with<R>(
        object: &Bound<'_, PyAny>,
        work: impl FnOnce(&Given<'_>) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        if let Ok(images) = object.cast::<Images>() {
            return work(&Given::Set(&images.get().set));
        }
        let rows: PyReadonlyArray2<'_, f32> = object.extract()?;
        let length = rows.as_array().ncols();
        work(&Given::Rows(rows.as_slice().map_err(PyErr::from)?, length))
    }
}

impl Given<'_> {
    /// What the columns are, of a table that is described.
    pub(crate) fn columns(&self) -> Option<&Columns> {
        match self {
            Given::Set(images) => images.columns(),
            Given::Rows(..) => None,
        }
    }

    /// The inputs as images of channels, height and width, with their classes.
    pub(crate) fn as_set(
        &self,
        shape: Option<[usize; 3]>,
        labels: Option<&[usize]>,
    ) -> Result<ImageSet, Failure> {
        match self {
            Given::Set(images) => Ok((*images).clone()),
            Given::Rows(values, length) => {
                let shape = shape.unwrap_or([1, 1, *length]);
                let labels = labels.map(<[usize]>::to_vec);
                let set =
                    ImageSet::of_floats("the images", shape, values.to_vec(), labels, Vec::new());
                set.map_err(|why| fail(ErrorKind::Data, why))
            }
        }
    }
}

impl Inputs for Given<'_> {
    fn len(&self) -> usize {
        match self {
            Given::Set(images) => images.len(),
            Given::Rows(values, length) => values.len() / (*length).max(1),
        }
    }

    fn input_len(&self) -> usize {
        match self {
            Given::Set(images) => images.image_len(),
            Given::Rows(_, length) => *length,
        }
    }

    fn read(&self, position: usize, out: &mut [f32]) -> Result<(), InputError> {
        match self {
            Given::Set(images) => images.read(position, out),
            Given::Rows(values, length) => {
                out.copy_from_slice(&values[position * length..][..*length]);
                Ok(())
            }
        }
    }

    fn index(&self, position: usize) -> usize {
        match self {
            Given::Set(images) => images.indices()[position],
            Given::Rows(..) => position,
        }
    }
}
