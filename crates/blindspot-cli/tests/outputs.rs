//! What commands write, and what they leave alone.

mod common;

use std::path::Path;

use blindspot_testing::{python, run_python, skip};
use common::{folder, run, small};

const ATTACK: &str = "attack model.onnx --data npz:data.npz --samples 6 --quiet";

fn succeeds(dir: &Path, words: &str) {
    let (exit, _, error) = run(dir, words);
    assert_eq!(exit, 0, "{words}: {error}");
}

#[track_caller]
fn refuses(dir: &Path, words: &str, code: i32, why: &str) {
    let (exit, _, error) = run(dir, words);
    assert!(
        exit == code && error.contains(why),
        "{words}: {exit} {error}"
    );
    assert_eq!(error.lines().count(), 1, "{words}: {error}");
}

fn read(dir: &Path, name: &str) -> Vec<u8> {
    std::fs::read(dir.join(name)).unwrap()
}

/// Results of other options, data or models are replaced only where that is said.
#[test]
fn results_of_other_work_are_not_replaced() {
    let folder = folder();
    let dir = folder.path();
    small(dir);
    succeeds(
        dir,
        "train softmax2 --data npz:data.npz --iterations 3 --quiet --out other.onnx",
    );
    let work = |options: &str| {
        [
            format!("{ATTACK} {options} --out a.npz"),
            format!("certify model.onnx --data npz:data.npz --samples 6 {options} -q --out c.npz"),
            format!(
                "units model.onnx --data npz:data.npz --layer logits --samples 20 {options} -q --out u"
            ),
            format!("spectrum model.onnx {options} -q --out s"),
            format!("transfer --examples a.npz --models model.onnx --noise 1 {options} -q --out t"),
        ]
    };
    let files = [
        "a.npz",
        "c.npz",
        "u/units.json",
        "s/spectrum.json",
        "t/transfer.json",
    ];
    for words in work("") {
        succeeds(dir, &words);
    }
    let before = files.map(|file| read(dir, file));
    for words in work("--seed 1") {
        refuses(dir, &words, 2, "--overwrite");
    }
    let other = work("").map(|words| words.replace("model.onnx", "other.onnx"));
    for words in other {
        refuses(dir, &words, 2, "--overwrite");
    }
    assert!(files.map(|file| read(dir, file)) == before);
    // The same work again is no other.
    for words in work("") {
        succeeds(dir, &words);
    }
    assert!(files.map(|file| read(dir, file)) == before);
    for words in work("--seed 1 --overwrite") {
        succeeds(dir, &words);
    }
    let train = "train softmax2 --data npz:data.npz --quiet --out other.onnx --iterations";
    refuses(dir, &format!("{train} 4"), 2, "--overwrite");
    succeeds(dir, &format!("{train} 3"));
    succeeds(dir, &format!("{train} 4 --overwrite"));
}

/// A file of the user's own, an input, a device: none of them is written over.
#[test]
fn files_of_the_users_own_are_left_alone() {
    let folder = folder();
    let dir = folder.path();
    small(dir);
    for name in ["mine.npz", "own.json", "d.npz.journal", "t.checkpoint"] {
        std::fs::write(dir.join(name), "mine").unwrap();
    }
    let mine = "is not known";
    refuses(dir, &format!("{ATTACK} --out mine.npz"), 2, mine);
    refuses(dir, &format!("{ATTACK} --out own.npz"), 2, mine);
    let train = "train softmax2 --data npz:data.npz --iterations 3 --quiet";
    refuses(dir, &format!("{train} --out mine.npz"), 2, "--overwrite");
    refuses(dir, &format!("{ATTACK} --out d.npz"), 3, "no journal");
    refuses(dir, &format!("{train} --out t.onnx"), 2, "no checkpoint");
    for name in ["mine.npz", "own.json", "d.npz.journal", "t.checkpoint"] {
        assert_eq!(read(dir, name), b"mine", "{name}");
    }
    let (model, data) = (read(dir, "model.onnx"), read(dir, "data.npz"));
    for out in ["model.onnx", "data.npz", "./model.onnx"] {
        let words = format!("{ATTACK} --overwrite --out {out}");
        refuses(dir, &words, 2, "is read by this command");
    }
    refuses(
        dir,
        &format!("{train} --overwrite --out data.npz"),
        2,
        "is read by",
    );
    assert!(read(dir, "model.onnx") == model && read(dir, "data.npz") == data);
    if cfg!(unix) {
        for words in [
            format!("{ATTACK} --out /dev/null"),
            format!("{train} --out /dev/null"),
        ] {
            refuses(dir, &words, 5, "device or a pipe");
        }
        assert!(!Path::new("/dev/null").is_file());
    }
}

#[test]
fn each_result_has_its_own_files_and_folders_are_made() {
    let folder = folder();
    let dir = folder.path();
    small(dir);
    succeeds(dir, &format!("{ATTACK} --out new/folder/run.a"));
    let few = ATTACK.replace("--samples 6", "--samples 5");
    succeeds(dir, &format!("{few} --out new/folder/run.b"));
    for (name, samples) in [("run.a", 6), ("run.b", 5)] {
        let record = read(&dir.join("new/folder"), &format!("{name}.json"));
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        assert_eq!(record["summary"]["samples"], samples, "{name}");
    }
    assert_eq!(dir.join("new/folder").read_dir().unwrap().count(), 4);
}

#[cfg(unix)]
#[test]
fn links_are_written_through() {
    let folder = folder();
    let dir = folder.path();
    small(dir);
    std::fs::create_dir(dir.join("disk")).unwrap();
    std::os::unix::fs::symlink("disk/a.npz", dir.join("a.npz")).unwrap();
    succeeds(dir, &format!("{ATTACK} --out a.npz"));
    assert!(dir.join("a.npz").is_symlink() && dir.join("disk/a.npz").is_file());
}

/// The journal of other options is kept, and is gone on from when these are given again.
#[test]
fn a_journal_of_other_options_is_kept() {
    let folder = folder();
    let dir = folder.path();
    small(dir);
    succeeds(dir, &format!("{ATTACK} --shard 0/1 --out parts"));
    let journal = read(dir, "parts/shard-0-of-1.journal");
    let cut = &journal[..journal.len() * 2 / 3];
    std::fs::write(dir.join("a.npz.journal"), cut).unwrap();
    let words = ATTACK.replace(" --quiet", " --max-evaluations 9 --out a.npz");
    let (exit, _, error) = run(dir, &words);
    assert_eq!(exit, 0, "{error}");
    assert!(
        error.contains("max_evaluations") && error.contains("kept as a.npz.journal.1"),
        "{error}"
    );
    assert!(read(dir, "a.npz.journal.1") == cut);
}

#[test]
fn a_replication_of_another_seed_leaves_the_first_alone() {
    let folder = folder();
    let dir = folder.path();
    small(dir);
    let words = "reproduce figure5 --model model.onnx --data npz:data.npz --quick --quiet --out r";
    succeeds(dir, words);
    let before = read(dir, "r/results.json");
    refuses(dir, &format!("{words} --seed 1"), 2, "--overwrite");
    assert!(read(dir, "r/results.json") == before);
    succeeds(dir, words);
    assert!(read(dir, "r/results.json") == before);
    succeeds(dir, &format!("{words} --seed 1 --overwrite"));
}

/// A limit of the files' size is an error like a full disk, without names that nobody gave.
#[cfg(unix)]
#[test]
fn a_file_that_grows_too_large_is_an_error_of_the_write() {
    let folder = folder();
    let dir = folder.path();
    small(dir);
    succeeds(dir, &format!("{ATTACK} --shard 0/1 --out parts"));
    let script = format!(
        "ulimit -f 1; exec {} merge parts --quiet --out a.npz",
        env!("CARGO_BIN_EXE_blindspot")
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(dir)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{error}");
    assert!(error.starts_with("blindspot: can't write a."), "{error}");
    assert!(
        !error.contains("partial") && !error.contains("Zip"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
}

/// The first signal ends the work, and what was found is kept and said; so does a pair of them, as `timeout` sends.
#[cfg(unix)]
#[test]
fn what_was_found_before_a_signal_is_kept() {
    use std::process::{Command, Stdio};

    let folder = folder();
    let dir = folder.path();
    small(dir);
    // Long enough that no machine is through with it before the signal.
    let words = "attack model.onnx --data npz:data.npz --target untargeted --method cw --certify \
                 --save-images images --quiet --out a.npz";
    for (round, signal) in ["INT", "TERM", "HUP"].into_iter().enumerate() {
        let child = Command::new(env!("CARGO_BIN_EXE_blindspot"))
            .args(words.split_whitespace())
            .current_dir(dir)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let journal = dir.join("a.npz.journal");
        let length = || journal.metadata().map_or(0, |it| it.len());
        // Until there is something in it that was not there before.
        let (before, mut waited) = (length(), 0);
        while length() < before + 2000 && waited < 6000 && !dir.join("a.npz").exists() {
            std::thread::sleep(std::time::Duration::from_millis(10));
            waited += 1;
        }
        for _ in 0..2 {
            let kill = Command::new("kill")
                .args(["-s", signal, &child.id().to_string()])
                .status();
            assert!(kill.is_ok());
        }
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            // It was too fast for us.
            assert!(round > 0 || dir.join("a.npz").exists());
            return;
        }
        assert_eq!(output.status.code(), Some(130), "{error}");
        assert!(
            error.contains("of 60 images in a.npz.journal; the same command goes on"),
            "{error}"
        );
        assert!(!error.contains("kept 0 of"), "{error}");
        assert!(length() > before);
        std::fs::remove_file(dir.join("a.npz")).ok();
        std::fs::remove_file(dir.join("a.json")).ok();
        std::fs::remove_file(dir.join("a.svg")).ok();
        std::fs::remove_dir_all(dir.join("images")).ok();
    }
}

/// Writes a model with a constant that takes long to compute, and one after it that takes longer than anybody waits.
const LONG: &str = r"
import sys, numpy as np, onnx
from onnx import TensorProto, helper, numpy_helper
fill = helper.make_tensor('value', TensorProto.FLOAT, [1], [0.01])
nodes, sizes, below = [], {}, 'x'
for name, image, kernel in ('long', 2048, 180), ('longer', 4096, 1024):
    sizes[f'{name}.image'], sizes[f'{name}.kernel'] = [1, 1, image, image], [1, 1, kernel, kernel]
    nodes += [helper.make_node('ConstantOfShape', [f'{name}.{what}'], [f'{name}.{what} filled'], value=fill)
              for what in ('image', 'kernel')]
    nodes += [helper.make_node('Conv', [f'{name}.image filled', f'{name}.kernel filled'], [f'{name}.filtered']),
              helper.make_node('ReduceMax', [f'{name}.filtered'], [f'{name}.largest'], keepdims=0),
              helper.make_node('Add', [below, f'{name}.largest'], [f'{name}.sum'])]
    below = f'{name}.sum'
graph = helper.make_graph(nodes, 'long', [helper.make_tensor_value_info('x', TensorProto.FLOAT, ['n', 36])],
                          [helper.make_tensor_value_info(below, TensorProto.FLOAT, ['n', 36])],
                          [numpy_helper.from_array(np.array(size), name) for name, size in sizes.items()])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)])
model.ir_version = 8
onnx.save(model, sys.argv[1])
";

/// A signal is heeded while a constant is computed: unheard, the command would end with the next one's refusal.
#[cfg(unix)]
#[test]
fn a_signal_is_heeded_while_a_model_is_read() {
    use std::process::{Command, Stdio};

    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = folder();
    let dir = folder.path();
    small(dir);
    run_python(LONG, [dir.join("long.onnx")], "").unwrap();
    for words in [
        "inspect long.onnx",
        "attack long.onnx --data npz:data.npz --out a.npz",
        "transfer --models long.onnx --examples a.npz",
        "spectrum long.onnx --out spectra",
    ] {
        if words.starts_with("transfer") {
            succeeds(dir, &format!("{ATTACK} --out a.npz"));
        }
        let child = Command::new(env!("CARGO_BIN_EXE_blindspot"))
            .args(words.split_whitespace())
            .args(["--reading-time", "300"])
            .current_dir(dir)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // By then it listens, and reads.
        std::thread::sleep(std::time::Duration::from_secs(1));
        let kill = Command::new("kill")
            .args(["-s", "INT", &child.id().to_string()])
            .status();
        assert!(kill.is_ok());
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{words}: {error}");
        assert!(error.contains("nothing was kept"), "{words}: {error}");
    }
}
