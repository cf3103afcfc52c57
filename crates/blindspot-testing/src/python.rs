//! A virtual environment with the packages of `requirements.txt`, below the target directory.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;

const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// Inside the environment, written last: the requirements that it was made from.
const MARKER: &str = "made-from.txt";

/// The interpreter of a virtual environment with NumPy, SciPy, ONNX and onnxruntime.
///
/// It is made at `<target directory>/python` by the first test that asks, and again when the
/// requirements change; other tests and processes wait for it meanwhile.
///
/// # Errors
///
/// Why there is none, in words: no `python3`, no package registry within reach, a full disk.
pub fn python() -> Result<PathBuf, String> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PYTHON
        .get_or_init(|| environment(&crate::target_dir()))
        .clone()
}

/// Runs a script's text in [`python`]'s interpreter, with arguments (`sys.argv[1:]`) and standard
/// input, and returns its standard output.
///
/// # Errors
///
/// Those of [`python`] (a test that may be skipped asks that first), or the script's failure with
/// what it wrote to standard error, or an output that is not UTF-8.
pub fn run_python(
    script: &str,
    args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    stdin: impl AsRef<[u8]>,
) -> Result<String, String> {
    let mut command = Command::new(python()?);
    // One thread each, so that a reference has the same bits on every machine size.
    command
        .env("OMP_NUM_THREADS", "1")
        .env("OPENBLAS_NUM_THREADS", "1");
    command.arg("-c").arg(script).args(args);
    let output = output(&mut command, stdin.as_ref())?;
    String::from_utf8(output.stdout).map_err(|e| format!("the script's output is not UTF-8: {e}"))
}

fn environment(target: &Path) -> Result<PathBuf, String> {
    let home = target.join("python");
    let interpreter = if cfg!(windows) {
        home.join("Scripts").join("python.exe")
    } else {
        home.join("bin").join("python")
    };
    let failed = |what: &str, e: std::io::Error| format!("can't {what} below {target:?}: {e}");

    fs::create_dir_all(target).map_err(|e| failed("make a folder", e))?;
    let lock = File::create(target.join("python.lock")).map_err(|e| failed("write", e))?;
    lock.lock().map_err(|e| failed("lock python.lock", e))?;

    let marker = home.join(MARKER);
    if fs::read_to_string(&marker).is_ok_and(|made_from| made_from == REQUIREMENTS) {
        return Ok(interpreter);
    }
    if home.exists() {
        fs::remove_dir_all(&home).map_err(|e| failed("remove the old environment", e))?;
    }
    output(Command::new("python3").args(["-m", "venv"]).arg(&home), b"")?;
    let requirements = home.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).map_err(|e| failed("write", e))?;
    output(
        Command::new(&interpreter)
            .args(["-m", "pip", "install", "--quiet", "--no-input"])
            .args([
                "--disable-pip-version-check",
                "--retries",
                "2",
                "--only-binary",
                ":all:",
            ])
            .arg("--requirement")
            .arg(&requirements),
        b"",
    )?;
    fs::rename(&requirements, &marker).map_err(|e| failed("write", e))?;
    Ok(interpreter)
}

/// Runs a command to its end; an unsuccessful one is an error with what it said.
fn output(command: &mut Command, stdin: &[u8]) -> Result<Output, String> {
    let name = command.get_program().to_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("can't run {name:?}: {e}"))?;
    let pipe = child.stdin.take();
    let output = thread::scope(|scope| {
        // From a thread of its own: a child that answers while it reads would block both.
        scope.spawn(move || pipe.map(|mut pipe| pipe.write_all(stdin)));
        child.wait_with_output()
    })
    .map_err(|e| format!("can't wait for {name:?}: {e}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "{name:?} failed ({}): {}",
        output.status,
        said.trim()
    ))
}
