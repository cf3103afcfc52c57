//! The readers that are tried, each with the files that it begins from.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use blindspot_bounds::certify::Certifier;
use blindspot_bounds::spectrum::Spectrum;
use blindspot_data::numpy::{NpzWriter, open_array, write_array};
use blindspot_data::{
    DataSpec, ImageSet, Locations, ReadLimit, Schema, Silent, parse_idx, parse_npz, read_classes,
    table_in_memory,
};
use blindspot_net::{Budget, Evaluator, Network, onnx};
use blindspot_run::journal::{Entries, Header, Journal, Shard};
use blindspot_testing::RandomNetwork;

use crate::random::Random;
use crate::{bytes, checkpoints, models, properties, protobuf, saved};

/// A reader, and how files for it are made.
pub(crate) struct Reader {
    pub(crate) name: &'static str,
    /// The files to begin from.
    pub(crate) corpus: fn() -> Vec<Vec<u8>>,
    /// A file made from the corpus.
    pub(crate) make: fn(&mut Random, &[Vec<u8>]) -> Vec<u8>,
    /// Reads a file, with a folder for it to be in.
    pub(crate) read: fn(&[u8], &Path),
}

pub(crate) const READERS: [Reader; 21] = [
    Reader {
        name: "onnx-bytes",
        corpus: networks,
        make: by_bytes,
        read: read_onnx,
    },
    Reader {
        name: "onnx-fields",
        corpus: networks,
        make: by_fields,
        read: read_onnx,
    },
    Reader {
        name: "onnx-made",
        corpus: Vec::new,
        make: |random, _| models::model(random),
        read: read_onnx,
    },
    Reader {
        name: "npz",
        corpus: npz_files,
        make: by_bytes,
        read: read_npz,
    },
    Reader {
        name: "npy",
        corpus: npy_files,
        make: by_bytes,
        read: read_npy,
    },
    Reader {
        name: "idx",
        corpus: idx_files,
        make: by_bytes,
        read: read_idx,
    },
    Reader {
        name: "cifar",
        corpus: cifar_files,
        make: by_bytes,
        read: |file, folder| read_set(file, folder, "batch.bin", "cifar10:", ""),
    },
    Reader {
        name: "images",
        corpus: image_files,
        make: by_bytes,
        read: read_image,
    },
    Reader {
        name: "labels",
        corpus: label_files,
        make: by_bytes,
        read: read_labels,
    },
    Reader {
        name: "tables",
        corpus: tables,
        make: by_bytes,
        read: |file, folder| {
            read_set(file, folder, "table.csv", "csv:", "");
            read_set(file, folder, "table.csv", "csv:", ",class");
        },
    },
    Reader {
        name: "columns",
        corpus: columns,
        make: by_bytes,
        read: read_columns,
    },
    Reader {
        name: "preprocessing",
        corpus: preprocessing,
        make: by_bytes,
        read: |file, _| {
            let _ = blindspot_model::preprocess::read(&String::from_utf8_lossy(file));
        },
    },
    Reader {
        name: "classes",
        corpus: class_files,
        make: by_bytes,
        read: |file, folder| {
            let path = folder.join("classes");
            put(&path, file);
            let _ = read_classes(&path);
        },
    },
    Reader {
        name: "properties",
        corpus: properties::files,
        make: by_bytes,
        read: properties::read,
    },
    Reader {
        name: "properties-made",
        corpus: Vec::new,
        make: |random, _| properties::made(random),
        read: properties::read,
    },
    Reader {
        name: "masks",
        corpus: saved::masks,
        make: by_bytes,
        read: saved::read_mask,
    },
    Reader {
        name: "ranges",
        corpus: saved::ranges,
        make: by_bytes,
        read: saved::read_ranges,
    },
    Reader {
        name: "examples",
        corpus: saved::examples,
        make: by_bytes,
        read: saved::read_examples,
    },
    Reader {
        name: "checkpoints",
        corpus: checkpoints::files,
        make: checkpoints::changed,
        read: checkpoints::read,
    },
    Reader {
        name: "journal-bytes",
        corpus: journals,
        make: by_bytes,
        read: read_journal,
    },
    Reader {
        name: "journal-entries",
        corpus: journals,
        make: by_entries,
        read: read_journal,
    },
];

fn by_bytes(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let (file, other) = (random.below(corpus.len()), random.below(corpus.len()));
    bytes::changed(random, &corpus[file], &corpus[other])
}

fn by_fields(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let file = random.below(corpus.len());
    protobuf::changed(random, &corpus[file], &onnx::OPERATORS)
}

fn put(path: &Path, file: &[u8]) {
    std::fs::write(path, file).expect("the folder can be written to");
}

/// What a file may take here: little, so that many fit beside each other.
const BUDGET: Budget = Budget {
    memory: 400_000_000,
    time: Duration::from_secs(2),
};

fn networks() -> Vec<Vec<u8>> {
    let networks = (0..72).map(|number| RandomNetwork::new(number, 1).network);
    let mut files: Vec<Vec<u8>> = networks
        .map(|network| onnx::write(&network, &Default::default()))
        .filter(|file| file.len() < 60_000)
        .collect();
    let mut random = Random::new(0, 0);
    files.extend((0..100).map(|_| models::model(&mut random)));
    files
}

/// Reads a model in all ways, writes it, and runs what is small.
fn read_onnx(file: &[u8], _folder: &Path) {
    let mut options = onnx::ReadOptions::default();
    options.budget = BUDGET;
    let _ = onnx::inspect(file, &options);
    let Ok(model) = onnx::read_with(file, &options) else {
        return;
    };
    if model.network.parameters() < 1 << 16 {
        let written = onnx::write(&model.network, &model.metadata);
        let again = onnx::read(&written);
        assert!(
            again.is_ok(),
            "what was written can't be read: {:?}",
            again.err()
        );
    }
    let exact = onnx::read_exact(file, &options);
    run(&model.network);
    if let Ok(exact) = exact {
        run(exact.network.network());
        let small = exact.network.network().graph().evaluation_bytes(1, 8) < 1 << 14;
        if small && exact.network.network().parameters() < 1 << 12 {
            let _ = Certifier::for_exact(&exact.network, Default::default());
            let _ = Spectrum::new(&model.network).budget(BUDGET).measure();
        }
    }
}

/// Runs a network forward and back on a grey image, if that takes little.
fn run<T: blindspot_net::Real>(network: &Network<T>) {
    let graph = network.graph();
    if graph.steps() > 1e7 || graph.evaluation_bytes(1, size_of::<T>()) > 1 << 26 {
        return;
    }
    let mut evaluator = Evaluator::new(network);
    evaluator.input(1).fill(T::of(0.5));
    let outputs = evaluator.forward().len();
    evaluator.backward(&vec![T::one(); outputs]);
}

fn npz_files() -> Vec<Vec<u8>> {
    let archive = |shape: &[u64], floats: bool| {
        let mut file = std::io::Cursor::new(Vec::new());
        let mut npz = NpzWriter::new(&mut file);
        let count = shape.iter().product::<u64>();
        let written = if floats {
            npz.add("x", shape, (0..count).map(|i| Ok(i as f32 / count as f32)))
        } else {
            npz.add("x", shape, (0..count).map(|i| Ok(i as u8)))
        };
        written.expect("memory can be written to");
        let labels = (0..shape[0]).map(|i| Ok(i as i64 % 3));
        npz.add("y", &shape[..1], labels)
            .expect("memory can be written to");
        npz.finish().expect("memory can be written to");
        file.into_inner()
    };
    vec![
        archive(&[3, 1, 4, 4], true),
        archive(&[2, 4, 4, 3], false),
        archive(&[5, 6], true),
        archive(&[2, 3, 3], false),
    ]
}

fn read_npz(file: &[u8], folder: &Path) {
    let limit = ReadLimit {
        images: 2,
        memory: BUDGET.memory,
    };
    if let Ok(set) = parse_npz(file, None, &limit) {
        first_image(&set);
    }
    let path = folder.join("values.npz");
    put(&path, file);
    let _ = blindspot_data::arrays(&path);
}

fn first_image(set: &ImageSet) {
    let mut image = vec![0.0; set.image_len()];
    let _ = set.read_image(0, &mut image);
}

fn npy_files() -> Vec<Vec<u8>> {
    let mut floats = Vec::new();
    let mut bytes = Vec::new();
    let written = write_array(&mut floats, &[2, 3], (0..6).map(|i| Ok(i as f64)))
        .and_then(|()| write_array(&mut bytes, &[7], (0..7u8).map(Ok)));
    written.expect("memory can be written to");
    vec![floats, bytes]
}

fn read_npy(file: &[u8], _folder: &Path) {
    if let Ok(array) = open_array(file) {
        let _ = array.data::<f64>().map(|values| values.take(1000).count());
    }
    if let Ok(array) = open_array(file) {
        let _ = array.data::<u8>().map(|values| values.take(1000).count());
    }
}

fn idx_files() -> Vec<Vec<u8>> {
    let plain = [
        &[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3][..],
        &[7; 12],
    ]
    .concat();
    let labels = [0, 0, 8, 1, 0, 0, 0, 2, 1, 0].to_vec();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&plain).expect("memory can be written to");
    let packed = packed.finish().expect("memory can be written to");
    vec![plain, labels, packed]
}

fn read_idx(file: &[u8], _folder: &Path) {
    if let Ok(idx) = parse_idx(file) {
        assert_eq!(idx.values.len(), idx.shape.iter().product::<usize>());
    }
}

fn cifar_files() -> Vec<Vec<u8>> {
    let record = |class: u8| [vec![class], vec![class * 20; 3072]].concat();
    vec![record(3), [record(0), record(9)].concat()]
}

/// Reads a set of images that a specification names, and one image of it.
fn read_set(file: &[u8], folder: &Path, name: &str, before: &str, after: &str) {
    let path = folder.join(name);
    put(&path, file);
    open_set(&format!("{before}{}{after}", path.display()));
}

fn open_set(spec: &str) {
    let spec = spec.parse::<DataSpec>();
    let found = spec.and_then(|spec| spec.load(&Locations::offline(Vec::new()), &mut Silent));
    if let Ok(set) = found {
        first_image(&set);
    }
}

fn image_files() -> Vec<Vec<u8>> {
    let image = image::DynamicImage::ImageRgb8(image::RgbImage::from_fn(9, 7, |x, y| {
        image::Rgb([x as u8 * 20, y as u8 * 30, 99])
    }));
    use image::ImageFormat::{Bmp, Gif, Jpeg, Png, Pnm, Tiff};
    let file = |format| {
        let mut file = std::io::Cursor::new(Vec::new());
        let written = image.write_to(&mut file, format);
        written.expect("memory can be written to");
        file.into_inner()
    };
    [Png, Jpeg, Bmp, Gif, Pnm, Tiff].map(file).to_vec()
}

fn read_image(file: &[u8], folder: &Path) {
    let images = folder.join("images");
    let class = images.join("class");
    std::fs::create_dir_all(&class).expect("the folder can be written to");
    // The format is known by the first bytes, or by the name.
    let extension = match file.first() {
        Some(0x89) => "png",
        Some(0xff) => "jpg",
        Some(b'B') => "bmp",
        Some(b'G') => "gif",
        Some(b'P') => "ppm",
        _ => "tiff",
    };
    let path = class.join(format!("image.{extension}"));
    put(&path, file);
    open_set(&format!("folder:{}", images.display()));
    let _ = std::fs::remove_file(path);
}

fn label_files() -> Vec<Vec<u8>> {
    [
        "file,class\n0.png,1\n1.png,0\n",
        "1\n0\n",
        "0.png\t\"a, b\"\n1.png c\n",
        "\u{feff}1.png;2\r\n0.png;3\r\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

fn read_labels(file: &[u8], folder: &Path) {
    let images = folder.join("labelled");
    if !images.exists() {
        std::fs::create_dir_all(&images).expect("the folder can be written to");
        let image = blindspot_data::png(&[99], [1, 1, 1]).expect("a grey pixel");
        for name in ["0.png", "1.png"] {
            put(&images.join(name), &image);
        }
    }
    let labels = folder.join("labels.csv");
    put(&labels, file);
    open_set(&format!("folder:{},{}", images.display(), labels.display()));
}

fn tables() -> Vec<Vec<u8>> {
    [
        "a,\"b, c\",class\n1,2.5,0\n-3e1, 4,1\n",
        "\u{feff}a;class\r\n1;cat\r\n2;dog\r\n",
        "a\tb\n1\t\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

fn columns() -> Vec<Vec<u8>> {
    [
        "a,b_x,b_y,c\n1,0,1,red\n2.5,1,0,blue\n",
        "[a]\nkind = \"integer\"\nrange = [0, 9]\nscale = 2\nunit = \"EUR\"\ndirection = \"up\"\n",
        "[b]\nkind = \"category\"\none_hot = [\"b_x\", \"b_y\"]\n[c]\nkind = \"category\"\ncategories = [\"red\"]\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// A description of columns for a table, and a table with its columns found.
fn read_columns(file: &[u8], _: &Path) {
    let schema = Schema::parse(&String::from_utf8_lossy(file)).unwrap_or_default();
    for table in [file, b"a,b_x,b_y,c\n1,0,1,red\n2.5,1,0,blue\n"] {
        if let Ok(set) = table_in_memory(table, &schema) {
            let columns = set.columns().expect("they are described").to_toml();
            Schema::parse(&columns).expect("what is written is read");
        }
    }
}

fn preprocessing() -> Vec<Vec<u8>> {
    [
        r#"{"do_resize": true, "size": {"shortest_edge": 256}, "resample": 3, "do_center_crop": true,
            "crop_size": 224, "rescale_factor": 0.00392156862745098, "image_mean": [0.5, 0.5, 0.5]}"#,
        r#"{"image_processor_type": "ConvNextImageProcessor", "size": 224, "crop_pct": 0.875,
            "image_std": 0.5, "do_rescale": false, "include_top": true}"#,
        r#"{"pretrained_cfg": {"input_size": [3, 224, 224], "mean": [0, 0, 0], "std": [1, 1, 1],
            "crop_pct": 0.9, "crop_mode": "center", "interpolation": "bicubic"}}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

fn class_files() -> Vec<Vec<u8>> {
    [
        "[\"cat\", \"dog\"]",
        "cat\ndog\n",
        "{\"0\": \"cat\", \"1\": \"dog\"}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

fn header() -> Header {
    Header {
        kind: "attack".into(),
        about: serde_json::json!({"seed": 0, "model": "m.onnx"}),
        positions: 10,
        bytes: 6,
        shard: Shard { index: 0, count: 1 },
    }
}

fn journals() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let journal = |name: &str, entries: usize, close: bool| -> Vec<u8> {
        let path = folder.path().join(name);
        let mut journal = Journal::open(&path, header()).expect("it can be written");
        let entries = (0..entries).map(|i| (i, vec![i as u8; 6]));
        journal.append(entries).expect("it can be written");
        if close {
            journal.close().expect("it can be written");
        }
        std::fs::read(&path).expect("it can be read")
    };
    vec![
        journal("a", 0, false),
        journal("b", 4, false),
        journal("c", 10, true),
    ]
}

/// A journal whose header is changed and whose entries have any positions and lengths, under checksums
/// that are right.
fn by_entries(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let file = random.below(corpus.len());
    let end = corpus[file].iter().position(|&byte| byte == b'\n');
    let mut journal = corpus[file][..end.map_or(0, |end| end + 1)].to_vec();
    if random.once_in(2) {
        journal = bytes::changed(random, &journal, b"\"positions\":0,\"bytes\":");
    }
    for _ in 0..random.below(12) {
        let position = match random.below(3) {
            0 => random.number(),
            _ => random.below(12) as u64,
        };
        let length = if random.once_in(8) {
            random.below(40)
        } else {
            6
        };
        let mut entry = position.to_le_bytes().to_vec();
        entry.extend((0..length).map(|_| random.next() as u8));
        entry.extend(crc32fast::hash(&entry).to_le_bytes());
        journal.extend(entry);
    }
    journal
}

fn read_journal(file: &[u8], folder: &Path) {
    let path: PathBuf = folder.join("out.npz.journal");
    put(&path, file);
    if let Ok(entries) = Entries::of(&path) {
        let _ = entries.check_all();
        let positions: Vec<usize> = entries.positions().take(100).collect();
        assert!(positions.len() <= entries.len());
        if let Ok(reader) = entries.reader() {
            let mut content = [0; 4];
            for entry in 0..reader.len().min(20) {
                let _ = reader.read(entry, 0, &mut content);
            }
        }
    }
    put(&path, file);
    drop(Journal::open(&path, header()));
}
