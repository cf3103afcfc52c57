//! Work in parts, and what kills leave of it.

mod common;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use blindspot::run::journal::{Header, Journal, Shard};
use blindspot_testing::{data_dir, skip};
use common::{blindspot, folder, model, run};

const ATTACK: &str = "attack model.onnx --samples 30 --seed 2 --target untargeted --quiet";

fn succeeds(dir: &Path, words: &str) {
    let (exit, _, error) = run(dir, words);
    assert_eq!(exit, 0, "{words}: {error}");
}

/// The files of an undisturbed process and of merged shards are the same.
fn same(dir: &Path, one: &str, merged: &str, ends: &[&str]) {
    let bytes = |name: &str| std::fs::read(dir.join(name)).unwrap();
    for end in ends {
        assert!(
            bytes(&format!("{one}.{end}")) == bytes(&format!("{merged}.{end}")),
            "{end}"
        );
    }
}

/// As a Slurm array job and a Kubernetes indexed job set the environment.
#[test]
fn merged_shards_are_what_one_process_writes() {
    if data_dir().is_none() {
        skip!("no folder of image sets; set BLINDSPOT_DATA");
    }
    let folder = folder();
    let dir = folder.path();
    model(dir);
    succeeds(dir, &format!("{ATTACK} --save-images images --out one.npz"));
    let shard = |words: &str, variables: &[(&str, &str)]| {
        let words = format!("{ATTACK} --save-images none {words} --out parts");
        let mut command = blindspot(dir);
        let command = command.args(words.split_whitespace());
        command.envs(variables.iter().copied()).assert().success();
    };
    shard("--shard 0/3", &[]);
    let slurm = |id| {
        [
            ("SLURM_ARRAY_TASK_ID", id),
            ("SLURM_ARRAY_TASK_COUNT", "3"),
            ("SLURM_ARRAY_TASK_MIN", "1"),
        ]
    };
    shard("--shard auto", &slurm("2"));
    let (exit, _, error) = run(dir, "merge parts --out merged.npz");
    assert!(exit == 2 && error.contains("missing: 2"), "{error}");
    shard("--shard auto/3", &[("JOB_COMPLETION_INDEX", "2")]);
    succeeds(dir, "merge parts --save-images merged --out merged.npz");
    same(dir, "one", "merged", &["npz", "json"]);
    let images = |name: &str| {
        let mut files = Vec::new();
        for part in ["", "adversarial", "original", "perturbation"] {
            let entries = std::fs::read_dir(dir.join(name).join(part)).unwrap();
            let paths = entries.map(|entry| entry.unwrap().path());
            for path in paths.filter(|path| path.is_file()) {
                files.push((
                    path.strip_prefix(dir.join(name)).unwrap().to_owned(),
                    std::fs::read(&path).unwrap(),
                ));
            }
        }
        files.sort();
        files
    };
    assert!(images("merged").len() > 20);
    assert!(images("merged") == images("images"));
    assert!(!dir.join("none").exists());

    let other = ATTACK.replace("--seed 2", "--seed 3");
    let words = format!("{other} --save-images none --shard 0/3 --out parts");
    let (exit, _, error) = run(dir, &words);
    assert!(
        exit == 2 && error.contains("options.seed is 2, not 3"),
        "{error}"
    );
    let (exit, _, error) = run(dir, "merge model.onnx --out merged.npz");
    assert_eq!(exit, 2, "{error}");
    let (exit, _, error) = run(dir, &format!("{ATTACK} --shard 3/3 --out parts"));
    assert!(exit == 2 && error.contains("no shard 3 of 3"), "{error}");
}

#[test]
fn twenty_kills_leave_no_trace() {
    let Some(data) = data_dir() else {
        skip!("no folder of image sets; set BLINDSPOT_DATA");
    };
    let folder = folder();
    let dir = folder.path();
    model(dir);
    let attack = format!("{} --method lbfgs", ATTACK.replace("untargeted", "all"));
    let begun = std::time::Instant::now();
    succeeds(dir, &format!("{attack} --out one.npz"));
    let whole = begun.elapsed();
    for kill in 0..20u32 {
        let words = format!("{attack} --shard {}/4 --out parts", kill % 4);
        let mut process = Command::new(env!("CARGO_BIN_EXE_blindspot"))
            .current_dir(dir)
            .env("BLINDSPOT_DATA", &data)
            .args(words.split_whitespace())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // A quarter of the work takes about a quarter of the time: some kills come too late.
        std::thread::sleep(whole.mul_f64(0.3 * f64::from(kill * 7 % 20) / 20.0));
        process.kill().unwrap();
        process.wait().unwrap();
    }
    // One more was cut short in the middle of a write.
    let cut = dir.join("parts/shard-1-of-4.journal");
    if let Ok(bytes) = std::fs::read(&cut) {
        std::fs::write(&cut, &bytes[..bytes.len() - bytes.len().min(3000)]).unwrap();
    }
    for shard in 0..4 {
        succeeds(dir, &format!("{attack} --shard {shard}/4 --out parts"));
    }
    succeeds(dir, "merge parts --quiet --out merged.npz");
    same(dir, "one", "merged", &["npz", "json"]);
}

/// An attack that was stopped goes on from its journal, whose results are not searched for again.
#[test]
fn a_stopped_attack_goes_on() {
    if data_dir().is_none() {
        skip!("no folder of image sets; set BLINDSPOT_DATA");
    }
    let folder = folder();
    let dir = folder.path();
    model(dir);
    succeeds(dir, &format!("{ATTACK} --out one.npz"));
    assert!(!dir.join("one.npz.journal").exists());
    // A shard of one is the same work: its journal, cut short, stands for that of a killed process.
    succeeds(dir, &format!("{ATTACK} --shard 0/1 --out parts"));
    let journal = std::fs::read(dir.join("parts/shard-0-of-1.journal")).unwrap();
    std::fs::write(dir.join("two.npz.journal"), &journal[..journal.len() / 2]).unwrap();
    let words = format!("{} --out two.npz", ATTACK.replace(" --quiet", ""));
    let (exit, _, error) = run(dir, &words);
    assert_eq!(exit, 0, "{error}");
    assert!(error.contains("going on after 15 of 30 images"), "{error}");
    assert!(!dir.join("two.npz.journal").exists());
    same(dir, "one", "two", &["npz", "json"]);
}

/// What a folder holds, by the files' names.
fn contents(dir: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap());
    files
        .map(|file| (file.file_name(), std::fs::read(file.path()).unwrap()))
        .collect()
}

/// Runs shards 0 to 2 of 3 in the environments of Slurm and Kubernetes, the second one from where a kill in
/// the middle would have left it, and merges them. Meanwhile a merge is refused, and so is `other`.
fn in_three(dir: &Path, words: &str, out: &str, other: (&str, &str)) {
    let shard = |words: &str, variables: &[(&str, &str)]| {
        let mut command = blindspot(dir);
        let command = command.args(format!("{words} --out parts").split_whitespace());
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words}: {error}");
        error
    };
    let refused = |words: &str, why: &str| {
        let (exit, _, error) = run(dir, words);
        assert!(exit == 2 && error.contains(why), "{words}: {exit} {error}");
        assert_eq!(error.trim().lines().count(), 1, "{error}");
    };
    shard(&format!("{words} --shard 0/3"), &[]);
    let slurm = [
        ("SLURM_ARRAY_TASK_ID", "1"),
        ("SLURM_ARRAY_TASK_COUNT", "3"),
    ];
    shard(&format!("{words} --shard auto"), &slurm);
    let journal = dir.join("parts/shard-1-of-3.journal");
    let bytes = std::fs::read(&journal).unwrap();
    let header = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let cut = header + (bytes.len() - header) / 2;
    std::fs::write(&journal, &bytes[..cut]).unwrap();
    refused(&format!("merge parts --out {out}"), "not finished");
    let said = shard(&format!("{words} --shard auto"), &slurm);
    assert!(said.contains("going on after"), "{said}");
    assert!(std::fs::read(&journal).unwrap() == bytes);
    refused(&format!("merge parts --out {out}"), "missing: 2");
    let (words_of_other, why) = other;
    refused(&format!("{words_of_other} --shard 0/3 --out parts"), why);
    shard(
        &format!("{words} --shard auto/3"),
        &[("JOB_COMPLETION_INDEX", "2")],
    );
    refused(
        &format!("merge parts --save-images none --out {out}"),
        "is for shards of `attack`",
    );
    succeeds(dir, &format!("merge parts --quiet --out {out}"));
}

#[test]
fn certificates_in_shards_are_those_of_one_process() {
    if data_dir().is_none() {
        skip!("no folder of image sets; set BLINDSPOT_DATA");
    }
    let folder = folder();
    let dir = folder.path();
    model(dir);
    let words = "certify model.onnx --samples 20 --shuffle --seed 4";
    succeeds(dir, &format!("{words} --quiet --out one.npz"));
    assert!(!dir.join("one.npz.journal").exists());
    let other = format!("{words} --box 0,2");
    let why = "options.bounds.upper is 1.0, not 2.0";
    in_three(dir, words, "merged.npz", (&other, why));
    same(dir, "one", "merged", &["npz", "json", "svg"]);

    // What a killed process leaves of the whole.
    succeeds(dir, &format!("{words} --shard 0/1 --quiet --out whole"));
    let journal = std::fs::read(dir.join("whole/shard-0-of-1.journal")).unwrap();
    let cut = &journal[..journal.len() - 12 * (40 + 12) - 5];
    std::fs::write(dir.join("two.npz.journal"), cut).unwrap();
    let (exit, _, error) = run(dir, &format!("{words} --out two.npz"));
    assert_eq!(exit, 0, "{error}");
    assert!(error.contains("going on after 8 of 20 images"), "{error}");
    assert!(!dir.join("two.npz.journal").exists());
    same(dir, "one", "two", &["npz", "json", "svg"]);
}

#[test]
fn answers_in_shards_make_the_table_of_one_process() {
    if data_dir().is_none() {
        skip!("no folder of image sets; set BLINDSPOT_DATA");
    }
    let folder = folder();
    let dir = folder.path();
    model(dir);
    succeeds(
        dir,
        "train softmax1 --iterations 3 --quiet --out linear.onnx",
    );
    succeeds(dir, &format!("{ATTACK} --out a.npz"));
    let few = ATTACK.replace("--samples 30", "--samples 7");
    succeeds(dir, &format!("{few} --shuffle --out b.npz"));
    // The first shard ends inside the first file, the last one takes a part of both.
    let words = "transfer --examples a.npz b.npz --models model.onnx linear.onnx --amplify 0.1 \
                 --amplify-by 2 --noise 0.2 --seed 1";
    succeeds(dir, &format!("{words} --quiet --out one"));
    let other = words.replace("--noise 0.2", "--noise 0.3");
    in_three(dir, words, "merged", (&other, "variants is"));
    assert_eq!(contents(&dir.join("one")).len(), 4);
    assert!(contents(&dir.join("one")) == contents(&dir.join("merged")));
    let (exit, _, error) = run(dir, &format!("{words} --shard 0/3"));
    assert!(exit == 2 && error.contains("--out DIR"), "{error}");
    // Other examples under the same name.
    succeeds(dir, &format!("{few} --overwrite --out b.npz"));
    let (exit, _, error) = run(dir, &format!("{words} --shard 0/3 --out parts"));
    assert!(
        exit == 2 && error.contains("examples_sha256.b is"),
        "{error}"
    );
}

#[test]
fn units_in_shards_are_those_of_one_process() {
    if data_dir().is_none() {
        skip!("no folder of image sets; set BLINDSPOT_DATA");
    }
    let folder = folder();
    let dir = folder.path();
    model(dir);
    let words = "units model.onnx --layer hidden2 --samples 200 --components 2 --seed 3 \
                 --synthesize";
    succeeds(dir, &format!("{words} --quiet --out one"));
    let other = words.replace("--seed 3", "--seed 2");
    in_three(dir, words, "merged", (&other, "seed is 3, not 2"));
    assert!(contents(&dir.join("one")).len() > 5);
    assert!(contents(&dir.join("one")) == contents(&dir.join("merged")));
    // What a killed process leaves of the whole.
    succeeds(dir, &format!("{words} --shard 0/1 --quiet --out whole"));
    let journal = std::fs::read(dir.join("whole/shard-0-of-1.journal")).unwrap();
    std::fs::create_dir(dir.join("two")).unwrap();
    std::fs::write(
        dir.join("two/units.json.journal"),
        &journal[..journal.len() / 2],
    )
    .unwrap();
    let (exit, _, error) = run(dir, &format!("{words} --out two"));
    assert_eq!(exit, 0, "{error}");
    assert!(error.contains("going on after"), "{error}");
    assert!(contents(&dir.join("one")) == contents(&dir.join("two")));
    // No shard does what the whole would refuse at its end.
    let wrong = words.replace("--components 2", "--units 3,100");
    let (exit, _, error) = run(dir, &format!("{wrong} --shard 0/3 --out p"));
    assert!(exit == 2 && error.contains("no unit 100"), "{error}");
    // The pictures take the model again: another one is refused.
    succeeds(
        dir,
        "train FC100-100-10 --iterations 2 --quiet --overwrite --out model.onnx",
    );
    let (exit, _, error) = run(dir, "merge parts --out merged");
    assert!(
        exit == 2 && error.contains("model.onnx is not what the shards"),
        "{error}"
    );
}

/// Layers that a killed process has kept are not measured again.
#[test]
fn a_stopped_spectrum_goes_on() {
    if data_dir().is_none() {
        skip!("no folder of image sets; set BLINDSPOT_DATA");
    }
    let folder = folder();
    let dir = folder.path();
    model(dir);
    succeeds(dir, "spectrum model.onnx --quiet --out one");
    let record = std::fs::read(dir.join("one/spectrum.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    // The journal of a run that was killed after the second of three layers, which had found another number for it.
    let about: serde_json::Map<_, _> = ["options", "seed", "model_sha256", "versions"]
        .into_iter()
        .map(|field| (field.to_owned(), record[field].clone()))
        .collect();
    let mut layer = record["layers"][1].clone();
    layer["upper"] = 1234.5.into();
    let mut entry = serde_json::to_vec(&layer).unwrap();
    entry.resize(1 << 15, b' ');
    let header = Header {
        kind: "spectrum".into(),
        about: about.into(),
        positions: record["layers"].as_array().unwrap().len(),
        bytes: entry.len(),
        shard: Shard::WHOLE,
    };
    std::fs::create_dir(dir.join("two")).unwrap();
    let mut journal = Journal::open(&dir.join("two/spectrum.json.journal"), header).unwrap();
    journal.append(std::iter::once((1, entry))).unwrap();
    drop(journal);
    let (exit, _, error) = run(dir, "spectrum model.onnx --out two");
    assert_eq!(exit, 0, "{error}");
    assert!(error.contains("going on after 1 of 3 layers"), "{error}");
    let found = std::fs::read(dir.join("two/spectrum.json")).unwrap();
    let mut found: serde_json::Value = serde_json::from_slice(&found).unwrap();
    assert_eq!(found["layers"][1]["upper"], 1234.5);
    found["layers"][1]["upper"] = record["layers"][1]["upper"].clone();
    assert_eq!(found, record);
    assert!(!dir.join("two/spectrum.json.journal").exists());
}

#[test]
fn what_is_not_of_shards_is_said() {
    if data_dir().is_none() {
        skip!("no folder of image sets; set BLINDSPOT_DATA");
    }
    let folder = folder();
    let dir = folder.path();
    for (words, why) in [
        (
            "reproduce figure1 table5 --shard 0/2 --out o",
            "table1, table2, table3, table4, figure7",
        ),
        ("reproduce table1 --shard 2/2 --out o", "no shard 2 of 2"),
        ("merge none --out merged.npz", "none"),
    ] {
        let (exit, _, error) = run(dir, words);
        assert!(exit == 2 && error.contains(why), "{words}: {exit} {error}");
    }
    std::fs::create_dir(dir.join("strange")).unwrap();
    let header =
        r#"{"kind":"spectrum","about":null,"positions":0,"bytes":0,"shard":{"index":0,"count":1}}"#;
    let mut journal = format!("{header}\n").into_bytes();
    let end = u64::MAX.to_le_bytes();
    journal.extend(end);
    // Their CRC-32.
    journal.extend(0x2144df1c_u32.to_le_bytes());
    std::fs::write(dir.join("strange/x.journal"), journal).unwrap();
    let (exit, _, error) = run(dir, "merge strange --out merged.npz");
    assert!(exit == 2 && error.contains("`spectrum`"), "{error}");
}
