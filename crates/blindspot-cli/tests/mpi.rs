//! Several processes under `mpirun`. It takes the feature `mpi` and an MPI on the path.

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use blindspot_testing::{Noise, data_dir, skip};
use common::{folder, run};

/// Whoever has it runs jobs. Ranks that wait keep a core busy: two jobs at once take far more than twice
/// as long.
fn alone() -> MutexGuard<'static, ()> {
    static JOBS: Mutex<()> = Mutex::new(());
    JOBS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A job of so many ranks with a thread each.
fn mpirun(dir: &Path, ranks: usize, words: &str) -> Command {
    let mut command = Command::new("mpirun");
    command
        .current_dir(dir)
        .envs(data_dir().map(|data| ("BLINDSPOT_DATA", data)))
        .env("XDG_CACHE_HOME", dir.join("cache"))
        // Open MPI alone knows these: to run as root, and more ranks than cores.
        .envs([
            ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
            ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
            ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
        ])
        .args(["-n", &ranks.to_string(), env!("CARGO_BIN_EXE_blindspot")])
        .args(words.split_whitespace())
        .args(["--threads", "1"]);
    command
}

fn output(dir: &Path, ranks: usize, words: &str) -> (bool, String, String) {
    let output = mpirun(dir, ranks, words).output().expect("mpirun is there");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, error) = (text(&output.stdout), text(&output.stderr));
    (output.status.success(), said, error)
}

fn succeeds(dir: &Path, ranks: usize, words: &str) {
    let (success, _, error) = output(dir, ranks, words);
    assert!(success, "{words} on {ranks} ranks: {error}");
}

fn bytes(dir: &Path, name: &str) -> Vec<u8> {
    std::fs::read(dir.join(name)).unwrap()
}

#[test]
fn any_number_of_ranks_writes_the_same_files() {
    if data_dir().is_none() {
        skip!("no folder of image sets; set BLINDSPOT_DATA");
    }
    let _alone = alone();
    let folder = folder();
    let dir = folder.path();
    let train = "train FC100-100-10 --iterations 10 --quiet --out";
    let attack = "attack one.onnx --samples 200 --overwrite --save-images images --out";
    let (exit, _, error) = run(dir, &format!("{train} one.onnx"));
    assert_eq!(exit, 0, "{error}");
    let (exit, said, error) = run(dir, &format!("{attack} one.npz"));
    assert_eq!(exit, 0, "{error}");
    for ranks in [1, 2, 4] {
        let attack = format!("{attack} {ranks}.npz");
        let (success, of_ranks, error) = output(dir, ranks, &attack);
        assert!(success, "{error}");
        // Every command lists the files that it wrote.
        let mut expected = said.clone();
        for kind in ["npz", "json"] {
            expected = expected.replace(&format!("one.{kind}"), &format!("{ranks}.{kind}"));
        }
        assert_eq!(of_ranks, expected);
        assert!(bytes(dir, "one.npz") == bytes(dir, &format!("{ranks}.npz")));
        assert!(bytes(dir, "one.json") == bytes(dir, &format!("{ranks}.json")));
        assert!(!dir.join(format!("{ranks}.npz.journal")).exists());
    }
    for ranks in [1, 2, 4] {
        succeeds(dir, ranks, &format!("{train} {ranks}.onnx"));
        assert!(bytes(dir, "one.onnx") == bytes(dir, &format!("{ranks}.onnx")));
    }
}

#[test]
fn a_replication_by_ranks_is_that_of_one_process() {
    if data_dir().is_none() {
        skip!("no folder of image sets; set BLINDSPOT_DATA");
    }
    let _alone = alone();
    let folder = folder();
    let dir = folder.path();
    let words = "reproduce figure7 --quick --samples 20 --out";
    let (exit, _, error) = run(dir, &format!("{words} one"));
    assert_eq!(exit, 0, "{error}");
    succeeds(dir, 3, &format!("{words} three --quiet"));
    for file in ["results.json", "models/FC200-200-10.onnx", "figure7.png"] {
        assert!(
            bytes(&dir.join("one"), file) == bytes(&dir.join("three"), file),
            "{file}"
        );
    }
}

/// Images of noise, in a folder.
fn noise(dir: &Path) {
    let mut noise = Noise::new(1);
    std::fs::create_dir(dir.join("noise")).unwrap();
    for i in 0..40 {
        let levels: Vec<u8> = (0..3 * 16 * 16).map(|_| noise.byte()).collect();
        let png = blindspot_data::png(&levels, [3, 16, 16]).unwrap();
        std::fs::write(dir.join(format!("noise/{i}.png")), png).unwrap();
    }
}

#[test]
fn features_learned_by_ranks_are_those_of_one_process() {
    let _alone = alone();
    let folder = folder();
    let dir = folder.path();
    noise(dir);
    let words =
        "train quocnet --data folder:noise --stages 2 --field 5,3 --stride 1 --maps 3,2 --passes 1";
    for replicas in [1, 2] {
        let words = format!("{words} --replicas {replicas} --overwrite --out");
        let (exit, _, error) = run(dir, &format!("{words} one.onnx"));
        assert_eq!(exit, 0, "{error}");
        succeeds(dir, 2, &format!("{words} two.onnx"));
        assert!(bytes(dir, "one.onnx") == bytes(dir, "two.onnx"));
    }
    // A server and a replica: one after the other is all that there is.
    let words = format!("{words} --asynchronous --out");
    let (success, said, error) = output(dir, 2, &format!("{words} server.onnx"));
    assert!(
        success && said.contains("may give other weights"),
        "{said}{error}"
    );
    assert!(dir.join("server.history.json").exists());
    let (exit, _, error) = run(dir, &format!("{words} none.onnx"));
    assert!(exit == 2 && error.contains("start 2 ranks"), "{error}");
}

/// The processes of a job, by what they were started with.
fn ranks_of(words: &str) -> Vec<String> {
    let found = Command::new("pgrep")
        .args([
            "-f",
            &format!("^{} {words}", env!("CARGO_BIN_EXE_blindspot")),
        ])
        .output()
        .expect("pgrep is there");
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    text.split_whitespace().map(str::to_owned).collect()
}

fn signal(name: &str, process: &str) {
    let sent = Command::new("kill").args([name, process]).status();
    assert!(sent.expect("kill is there").success());
}

/// Waits for a job and gives whether it succeeded and what it said; fails where it does not end.
fn ends(mut job: Child) -> (bool, String) {
    let begun = Instant::now();
    while job.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(60) {
            let _ = job.kill();
            panic!("the job does not end");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = job.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// A training on so many ranks, as soon as all of them run.
fn training(dir: &Path, ranks: usize, words: &str) -> Child {
    let mut command = mpirun(dir, ranks, words);
    let job = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let job = job.spawn().unwrap();
    let begun = Instant::now();
    while ranks_of(words).len() < ranks {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "the ranks don't start"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    // They have met, and read their images.
    std::thread::sleep(Duration::from_secs(4));
    job
}

#[test]
fn what_breaks_ends_the_job_and_three_ranks_end_what_two_began() {
    if data_dir().is_none() {
        skip!("no folder of image sets; set BLINDSPOT_DATA");
    }
    let _alone = alone();
    let folder = folder();
    let dir = folder.path();
    // Enough for a quick machine to be still at it each time.
    let words = |out: &str| format!("train FC100-100-10 --iterations 200 --out {out} --patience 4");
    let two = words("two.onnx");

    // Asked to stop, they keep a checkpoint.
    let job = training(dir, 2, &two);
    signal("-TERM", &ranks_of(&two)[1]);
    let (success, said) = ends(job);
    assert!(
        !success && said.contains("the same command goes on"),
        "{said}"
    );
    let kept = bytes(dir, "two.checkpoint");
    // Killed, the others don't wait, and who is gone is said.
    let job = training(dir, 3, &two);
    let killed = ranks_of(&two).remove(1);
    signal("-KILL", &killed);
    let (success, said) = ends(job);
    // Open MPI's launcher names it, MPICH's a process of the job, by numbers that the first line has
    // beside the ranks.
    let named = said.contains(&format!("(process {killed} on"));
    assert!(!success && named, "{said}");
    // Gone without a word, too.
    let job = training(dir, 2, &two);
    let silent = ranks_of(&two).remove(1);
    signal("-STOP", &silent);
    let (success, said) = ends(job);
    // The launcher may not reach it.
    let _ = Command::new("kill").args(["-KILL", &silent]).status();
    assert!(
        !success && said.contains("has given no sign for 4 s"),
        "{said}"
    );

    assert!(bytes(dir, "two.checkpoint") == kept);
    succeeds(dir, 3, &two);
    let (exit, _, error) = run(dir, &words("one.onnx"));
    assert_eq!(exit, 0, "{error}");
    assert!(bytes(dir, "one.onnx") == bytes(dir, "two.onnx"));
}

#[test]
fn ranks_that_differ_and_commands_of_one_process_are_refused() {
    let _alone = alone();
    let folder = folder();
    let dir = folder.path();
    let mut job = mpirun(dir, 1, "train softmax1 --out a.onnx --seed 1");
    job.args([":", "-n", "1", env!("CARGO_BIN_EXE_blindspot")]);
    job.args("train softmax1 --out a.onnx --seed 2 --threads 1".split(' '));
    let refused = job.output().unwrap();
    let error = String::from_utf8_lossy(&refused.stderr);
    let named = error.contains("rank 1 differs from rank 0 in its options");
    assert!(!refused.status.success() && named, "{error}");
    for (words, why) in [
        ("merge none --out a.npz", "leave mpirun out"),
        ("train conv --out a.onnx", "without mpirun"),
        ("train FC100-100-10 --harden --out a.onnx", "without mpirun"),
    ] {
        let (success, _, error) = output(dir, 2, words);
        assert!(!success && error.contains(why), "{error}");
    }
}
