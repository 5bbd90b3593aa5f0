//! Circlet's own options as clients see and change them: `CONFIG GET circlet.*`, `CONFIG SET circlet.…`.
//!
//! The control plane knows the options and gives the data plane this view of them; the data plane knows only names and
//! texts. A change comes back as new [`Settings`] with a higher revision, which the worker that made it sends to the
//! others. Pure: a trait and its errors.

use std::{fmt, sync::Arc};

use super::settings::Settings;

/// What an option's name begins with, among those of the nodes.
pub const PREFIX: &str = "circlet.";

/// The options of this process. Names are without [`PREFIX`].
pub trait Options: fmt::Debug + Send + Sync {
    /// Names and present values of all that may be shown.
    fn rows(&self) -> Vec<(String, String)>;

    /// Whether these could be changed together; changes nothing.
    ///
    /// # Errors
    /// The first one that cannot be, and why.
    fn check(&self, changes: &[(String, String)]) -> Result<(), OptionError>;

    /// Whether this is the token of administrators.
    fn is_admin_token(&self, token: &[u8]) -> bool;

    /// Changes all of them or none; gives the settings that hold from now on.
    ///
    /// # Errors
    /// As [`Options::check`].
    fn change(&self, changes: &[(String, String)]) -> Result<Arc<Settings>, OptionError>;
}

/// Why an option cannot be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionError {
    /// There is none of this name.
    Unknown(String),
    /// It is read once, when Circlet starts.
    NeedsRestart(String),
    /// The value does not do; what does.
    Wrong(String, String),
}

/// No options at all: for a core without a control plane.
#[derive(Clone, Copy, Debug)]
pub struct NoOptions;

impl Options for NoOptions {
    fn rows(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn check(&self, changes: &[(String, String)]) -> Result<(), OptionError> {
        changes.first().map_or(Ok(()), |(name, _)| Err(OptionError::Unknown(name.clone())))
    }

    fn is_admin_token(&self, _: &[u8]) -> bool {
        false
    }

    fn change(&self, changes: &[(String, String)]) -> Result<Arc<Settings>, OptionError> {
        self.check(changes).map(|()| Arc::default())
    }
}
