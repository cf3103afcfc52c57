//! Tries every reader on files that are damaged or made up; see fuzz/README.md.

mod bytes;
mod checkpoints;
mod models;
mod properties;
mod protobuf;
mod random;
mod readers;
mod saved;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use random::Random;
use readers::{READERS, Reader};

/// How long a reader may take for a file of a few kilobytes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where files that break a reader are kept.
const FINDINGS: &str = "target/fuzz";

/// A thread's work: which reader, on which file, since when.
#[derive(Default)]
struct Now(Mutex<Option<(&'static str, PathBuf, Instant)>>);

struct Options {
    seconds: u64,
    reader: Option<String>,
    threads: u64,
    seed: u64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["--file", reader, file] = words[..] {
        return try_file(reader, Path::new(file));
    }
    let Some(options) = options(&words) else {
        eprintln!(
            "usage: blindspot-fuzz SECONDS [READER] [--threads N] [--seed S], or --file READER FILE"
        );
        return ExitCode::from(2);
    };
    let wanted = |reader: &&Reader| match &options.reader {
        Some(name) => reader.name.starts_with(name.as_str()),
        None => true,
    };
    let chosen: Vec<&'static Reader> = READERS.iter().filter(wanted).collect();
    std::fs::create_dir_all(FINDINGS).expect("target/ can be written to");
    // What a panic says is printed with its file.
    std::panic::set_hook(Box::new(|_| {}));
    let mut findings = 0;
    for reader in &chosen {
        let seconds = options.seconds as f64 / chosen.len() as f64;
        let (count, found) = fuzz(reader, Duration::from_secs_f64(seconds), &options);
        println!("{:<16} {count:>10} files, {found} findings", reader.name);
        findings += found;
    }
    ExitCode::from(u8::from(findings > 0 || chosen.is_empty()))
}

fn options(words: &[&str]) -> Option<Options> {
    let mut options = Options {
        seconds: words.first()?.parse().ok()?,
        reader: None,
        threads: 2,
        seed: 0,
    };
    let mut rest = words[1..].iter();
    while let Some(&word) = rest.next() {
        match word {
            "--threads" => options.threads = rest.next()?.parse().ok()?,
            "--seed" => options.seed = rest.next()?.parse().ok()?,
            name if !name.starts_with('-') => options.reader = Some(name.to_owned()),
            _ => return None,
        }
    }
    Some(options)
}

/// Tries a reader until the time is over; gives how many files it read, and how many broke it.
fn fuzz(reader: &'static Reader, time: Duration, options: &Options) -> (u64, u64) {
    let corpus = (reader.corpus)();
    let (count, found, over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let begun = Instant::now();
    let now: Vec<Now> = (0..options.threads).map(|_| Now::default()).collect();
    let work = |thread: u64| {
        let mut random = Random::new(options.seed, thread);
        let folder = tempfile::tempdir().expect("a folder can be made");
        let current = Path::new(FINDINGS).join(format!("{}.{thread}", reader.name));
        while begun.elapsed() < time {
            let file = (reader.make)(&mut random, &corpus);
            // For the case that nothing is left to say which one it was.
            std::fs::write(&current, &file).expect("target/ can be written to");
            *lock(&now[thread as usize]) = Some((reader.name, current.clone(), Instant::now()));
            let read = catch_unwind(AssertUnwindSafe(|| (reader.read)(&file, folder.path())));
            *lock(&now[thread as usize]) = None;
            count.fetch_add(1, Ordering::Relaxed);
            if let Err(panic) = read {
                found.fetch_add(1, Ordering::Relaxed);
                let path = keep(reader.name, &file);
                eprintln!("{}: {}: {}", reader.name, path.display(), message(&*panic));
            }
        }
        let _ = std::fs::remove_file(current);
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..options.threads)
            .map(|thread| scope.spawn(move || work(thread)))
            .collect();
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                watch(&now);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        for thread in threads {
            thread.join().expect("panics are caught");
        }
        over.store(true, Ordering::Relaxed);
    });
    (count.into_inner(), found.into_inner())
}

fn lock(now: &Now) -> std::sync::MutexGuard<'_, Option<(&'static str, PathBuf, Instant)>> {
    now.0.lock().expect("nothing panics while it is held")
}

/// Ends the process where a thread has been at one file for too long.
fn watch(now: &[Now]) {
    for now in now {
        if let Some((reader, path, since)) = &*lock(now)
            && since.elapsed() > PATIENCE
        {
            eprintln!(
                "{reader}: {} takes longer than {PATIENCE:?}",
                path.display()
            );
            std::process::exit(1);
        }
    }
}

/// Keeps a file that breaks a reader.
fn keep(reader: &str, file: &[u8]) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    file.hash(&mut hasher);
    let path = Path::new(FINDINGS).join(format!("{reader}-{:016x}", hasher.finish()));
    std::fs::write(&path, file).expect("target/ can be written to");
    path
}

/// What a panic says.
fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}

/// Tries one reader on one file, where what goes wrong can be seen.
fn try_file(name: &str, path: &Path) -> ExitCode {
    let Some(reader) = READERS.iter().find(|reader| reader.name == name) else {
        let names: Vec<&str> = READERS.iter().map(|reader| reader.name).collect();
        eprintln!(
            "there is no reader `{name}`; there are {}",
            names.join(", ")
        );
        return ExitCode::from(2);
    };
    let file = match std::fs::read(path) {
        Ok(file) => file,
        Err(error) => {
            eprintln!("can't read {}: {error}", path.display());
            return ExitCode::from(2);
        }
    };
    let folder = tempfile::tempdir().expect("a folder can be made");
    let begun = Instant::now();
    (reader.read)(&file, folder.path());
    println!("read in {:?}", begun.elapsed());
    ExitCode::SUCCESS
}
