//! Why Circlet ended, as the exit code tells it. Pure.

use std::process::ExitCode;

/// The exit codes, for `--help`.
pub(super) const HELP: &str = "\
Exit codes:
  0  ended as asked: stopped by a signal, and every request was answered
  1  could not start: an address is taken, a directory cannot be written, redis-server is missing,
     or a running Circlet cannot be asked
  2  wrong flags or configuration; every mistake is listed
  3  stopped by a signal, but clients were cut off: drain_timeout passed, or a second signal came
  4  circlet check --strict: nothing is wrong, but something is risky";

/// Why Circlet ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// As asked, with every request answered.
    Ended,
    /// It could not start.
    NotStarted,
    /// Flags or configuration are wrong.
    Misconfigured,
    /// It was stopped before every request was answered.
    CutOff,
    /// A configuration is right, and risky.
    Risky,
}

impl Exit {
    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Ended => 0,
            Self::NotStarted => 1,
            Self::Misconfigured => 2,
            Self::CutOff => 3,
            Self::Risky => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
