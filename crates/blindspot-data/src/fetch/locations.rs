//! The folders in which image sets are looked for.

use std::env;
use std::path::PathBuf;

/// The environment variable that names a folder of image sets.
pub(super) const VARIABLE: &str = "BLINDSPOT_DATA";

/// The folders in which image sets are looked for, in order.
#[derive(Debug, Clone)]
pub struct Locations {
    /// Each with what it is called in messages.
    pub(super) folders: Vec<(&'static str, PathBuf)>,
    /// Where fetched files go.
    pub(super) cache: Option<PathBuf>,
    pub(super) online: bool,
}

impl Locations {
    /// The folder given, if any; that of the environment variable `BLINDSPOT_DATA`; the cache
    /// folder of the platform.
    pub fn new(data_dir: Option<PathBuf>) -> Locations {
        let variable = |name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let cache = variable("XDG_CACHE_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| env::home_dir().map(|home| home.join(".cache")))
            .map(|cache| cache.join("blindspot"));
        let folders = [
            data_dir.map(|folder| ("the folder given", folder)),
            variable(VARIABLE).map(|folder| (VARIABLE, folder)),
            cache.clone().map(|folder| ("the cache", folder)),
        ];
        Locations {
            folders: folders.into_iter().flatten().collect(),
            cache,
            online: true,
        }
    }

    /// These folders and nothing else: nothing is fetched.
    pub fn offline(folders: Vec<PathBuf>) -> Locations {
        let folders = folders
            .into_iter()
            .map(|folder| ("the folder", folder))
            .collect();
        Locations {
            folders,
            cache: None,
            online: false,
        }
    }
}
