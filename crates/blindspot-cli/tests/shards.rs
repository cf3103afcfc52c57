//! An attack in parts, and what kills leave of it.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

use blindspot_testing::{data_dir, skip};
use common::{blindspot, folder, model, run};

const ATTACK: &str = "attack model.onnx --samples 30 --seed 2 --target untargeted --quiet";

fn succeeds(dir: &Path, words: &str) {
    let (exit, _, error) = run(dir, words);
    assert_eq!(exit, 0, "{words}: {error}");
}

/// The files of an undisturbed process and of merged shards are the same.
fn same(dir: &Path, one: &str, merged: &str) {
    let bytes = |name: &str| std::fs::read(dir.join(name)).unwrap();
    for end in ["npz", "json"] {
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
    same(dir, "one", "merged");
    let images = |name: &str| {
        let files = std::fs::read_dir(dir.join(name)).unwrap();
        let files = files.map(|file| file.unwrap());
        let mut files: Vec<_> = files
            .map(|file| (file.file_name(), std::fs::read(file.path()).unwrap()))
            .collect();
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
    same(dir, "one", "merged");
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
    assert!(error.contains("going on after 15 images"), "{error}");
    assert!(!dir.join("two.npz.journal").exists());
    same(dir, "one", "two");
}
