//! How much of an image set is read.

/// How much of an image set is read into memory.
///
/// A packed file of a few megabytes can hold gigabytes; what is not asked for is not kept.
///
/// ```
/// use blindspot_data::ReadLimit;
///
/// let two = ReadLimit { images: 2, ..ReadLimit::default() };
/// assert_eq!(two.memory, 1 << 32);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimit {
    /// How many images: the first ones; all where there are fewer.
    pub images: usize,
    /// Bytes of memory for the values of all images together.
    pub memory: u64,
}

impl Default for ReadLimit {
    /// All images, of 4 GiB together.
    fn default() -> ReadLimit {
        ReadLimit {
            images: usize::MAX,
            memory: 1 << 32,
        }
    }
}
