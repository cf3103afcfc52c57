//! What an error is about, the same kinds for every crate of the workspace.

/// What an error is about: what a program that meets it can decide by. Each error type of the
/// workspace says it by a method `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Something was asked for that does not exist or can't be: another request helps.
    Usage,
    /// Image data or results are missing, damaged, or don't fit the model.
    Data,
    /// A model can't be read or run.
    Model,
    /// A file or folder can't be written.
    Output,
    /// The work was interrupted; what was finished is kept where the work keeps a journal.
    Interrupted,
    /// Anything else.
    Other,
}
