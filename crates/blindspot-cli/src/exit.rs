//! Exit codes, and the one line that an error ends in.

use std::io::Write;
use std::time::Duration;

use blindspot::ErrorKind;

use crate::errors::Unprinted;
use crate::{errors, interrupt, print};

/// The program's exit code after an error.
pub(crate) const fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage => 2,
        ErrorKind::Data => 3,
        ErrorKind::Model => 4,
        ErrorKind::Output => 5,
        ErrorKind::Interrupted => 130,
        _ => 1,
    }
}

/// Prints help, the version or what is wrong with the command line; returns the exit code.
pub(crate) fn help(text: &clap::Error) -> u8 {
    let printed = text.print().and_then(|()| std::io::stdout().flush());
    if let Err(error) = printed.or_else(print::unread)
        && !text.use_stderr()
    {
        return report(Err(Unprinted(error).into()), 0);
    }
    u8::try_from(text.exit_code()).unwrap_or(1)
}

/// How long another rank than 0 keeps an error to itself: most are rank 0's, too, which then says it
/// for all.
const AFTER_RANK_0: Duration = Duration::from_millis(500);

/// Prints the error of this rank, if there is one, on one line; returns the exit code.
pub(crate) fn report(result: anyhow::Result<()>, rank: usize) -> u8 {
    interrupt::last_word();
    let Err(error) = result else {
        return 0;
    };
    let kind = errors::kind(&error);
    let prefix = if rank == 0 {
        String::new()
    } else if kind == ErrorKind::Interrupted {
        // All have stopped, and rank 0 says so.
        return code(kind);
    } else {
        std::thread::sleep(AFTER_RANK_0);
        format!("rank {rank}: ")
    };
    print::error(&format!("{prefix}{}", line(&error)));
    code(kind)
}

/// An error with its causes and the options that mend it, on one line.
fn line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        // Many messages say already what their cause says.
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    if let Some(hint) = errors::hint(error) {
        line = format!("{line} ({hint})");
    }
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
