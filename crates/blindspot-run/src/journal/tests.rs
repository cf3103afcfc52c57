//! What a kill, another process or a strange file may do to a journal.

use std::path::Path;

use serde_json::json;

use super::*;

fn header(shard: Shard) -> Header {
    Header {
        kind: "test".into(),
        about: json!({"options": {"seed": 1, "confidence": 0.1}}),
        positions: 7,
        bytes: 5,
        shard,
    }
}

fn content(position: usize) -> Vec<u8> {
    format!("no. {position}").into_bytes()
}

fn add(journal: &mut Journal, positions: std::ops::Range<usize>) {
    let entries = positions.map(|position| (position, content(position)));
    journal.append(entries).unwrap();
}

/// Writes the journal of a shard to its end.
fn finished(folder: &Path, shard: Shard) -> PathBuf {
    let path = shard.path(folder);
    let mut journal = Journal::open(&path, header(shard)).unwrap();
    add(&mut journal, shard.range(7));
    journal.close().unwrap();
    path
}

fn shards(count: usize) -> impl Iterator<Item = Shard> {
    (0..count).map(move |index| Shard { index, count })
}

fn said<T: std::fmt::Debug>(result: Result<T, JournalError>) -> String {
    result.unwrap_err().to_string()
}

/// Wherever a write is cut short, what was whole is there, and the rest can be done again.
#[test]
fn a_journal_goes_on_wherever_it_was_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = finished(folder.path(), Shard::WHOLE);
    let whole = std::fs::read(&path).unwrap();
    let entry = 5 + AROUND;
    let start = whole.len() - 8 * entry;
    // A kill leaves an empty file; a full disk may leave more of the header.
    for cut in (0..whole.len()).filter(|cut| !(1..BEGINNING.len()).contains(cut)) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let mut journal = Journal::open(&path, header(Shard::WHOLE)).unwrap();
        let done = cut.saturating_sub(start) / entry;
        assert_eq!(
            journal.done().iter().copied().collect::<Vec<_>>(),
            (0..done).collect::<Vec<_>>()
        );
        assert!(!journal.closed());
        add(&mut journal, done..7);
        journal.close().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), whole, "cut at {cut}");
    }
    assert!(Journal::open(&path, header(Shard::WHOLE)).unwrap().closed());
}

#[test]
fn a_damaged_byte_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = finished(folder.path(), Shard::WHOLE);
    let whole = std::fs::read(&path).unwrap();
    let start = whole.len() - 8 * (5 + AROUND);
    for place in start..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let found = Entries::of_shards(std::slice::from_ref(&path));
        assert!(matches!(
            found,
            Err(JournalError::Damaged { .. } | JournalError::Unfinished { .. })
        ));
    }
    std::fs::write(&path, b"something else\n").unwrap();
    assert!(said(Journal::open(&path, header(Shard::WHOLE))).contains("no journal"));
    assert!(said(Entries::of(&path)).contains("no journal"));
}

#[test]
fn other_work_and_other_processes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = Shard::WHOLE.path(folder.path());
    let open = Journal::open(&path, header(Shard::WHOLE)).unwrap();
    let busy = Journal::open(&path, header(Shard::WHOLE));
    assert!(matches!(busy, Err(JournalError::Busy { .. })));
    drop(open);
    let mut other = header(Shard::WHOLE);
    other.about = json!({"options": {"seed": 2, "confidence": 0.1}});
    let why = said(Journal::open(&path, other.clone()));
    assert!(why.contains("options.seed is 1, not 2"), "{why}");
}

/// What a journal of other work holds, or one with a damaged header, is kept under another name.
#[test]
fn a_journal_of_no_use_is_kept_under_another_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = finished(folder.path(), Shard::WHOLE);
    let bytes = std::fs::read(&path).unwrap();
    let mut damaged = bytes.clone();
    damaged[20] ^= 128;
    let mut other = header(Shard::WHOLE);
    other.about = json!({"options": {"seed": 2, "confidence": 0.1}});
    let cut = bytes[..66].to_vec();
    for (number, (content, says)) in [
        (bytes, "options.seed is 1, not 2"),
        (damaged, "header is damaged"),
        (cut, "header is damaged"),
    ]
    .into_iter()
    .enumerate()
    {
        std::fs::write(&path, &content).unwrap();
        let (journal, aside) = Journal::open_or_set_aside(&path, other.clone()).unwrap();
        assert!(journal.done().is_empty());
        let SetAside { path: kept, why } = aside.unwrap();
        assert_eq!(kept.extension().unwrap(), &*(number + 1).to_string());
        assert!(why.contains(says), "{why}");
        assert_eq!(std::fs::read(kept).unwrap(), content);
        drop(journal);
        let (_, aside) = Journal::open_or_set_aside(&path, other.clone()).unwrap();
        assert_eq!(aside, None);
    }
}

/// Of two that start over a journal of other work, one gets its place, and keeps it.
#[test]
fn two_that_start_at_once_do_not_take_each_others_journal() {
    let folder = tempfile::tempdir().unwrap();
    let path = Shard::WHOLE.path(folder.path());
    for round in 0..50 {
        std::fs::remove_file(&path).ok();
        finished(folder.path(), Shard::WHOLE);
        let mut other = header(Shard::WHOLE);
        other.about = json!({"round": round});
        let start = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    start.wait();
                    match Journal::open_or_set_aside(&path, other.clone()) {
                        Ok((mut journal, _)) => {
                            let from = journal.done().len();
                            add(&mut journal, from..from + 1);
                            let entries = Entries::of(&path).unwrap();
                            assert_eq!(entries.len(), from + 1);
                        }
                        Err(JournalError::Busy { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                });
            }
        });
        let done = Journal::open(&path, other).unwrap().done().len();
        assert!((1..=4).contains(&done), "{done}");
    }
}

#[cfg(unix)]
#[test]
fn links_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("examples.npz.journal");
    for behind in ["none", "diary", "/dev/null"] {
        std::fs::write(folder.path().join("diary"), "").unwrap();
        std::os::unix::fs::symlink(behind, &path).unwrap();
        let error = Journal::open_or_set_aside(&path, header(Shard::WHOLE)).unwrap_err();
        assert!(error.to_string().contains("link"), "{error}");
        assert!(!folder.path().join("none").exists());
        assert_eq!(std::fs::read(folder.path().join("diary")).unwrap(), b"");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn shards_are_merged_only_where_all_are_there_once_and_of_one_work() {
    let folder = tempfile::tempdir().unwrap();
    let mut paths: Vec<PathBuf> = shards(3)
        .map(|shard| finished(folder.path(), shard))
        .collect();
    paths.rotate_left(1);
    let entries = Entries::of_shards(&paths).unwrap();
    let contents: Vec<Vec<u8>> = entries.bytes(0..5).unwrap().map(Result::unwrap).collect();
    assert_eq!(contents, (0..7).map(content).collect::<Vec<_>>());
    let ends: Vec<Vec<u8>> = entries.bytes(4..5).unwrap().map(Result::unwrap).collect();
    assert_eq!(ends.concat(), b"0123456");

    assert!(said(Entries::of_shards(&paths[..2])).contains("missing: 0"));
    assert!(said(Entries::of_shards(&[])).contains("no journals"));
    let twice = [paths.clone(), vec![paths[0].clone()]].concat();
    assert!(said(Entries::of_shards(&twice)).contains("both shard 1"));
    let unfinished = folder.path().join("unfinished");
    let bytes = std::fs::read(&paths[0]).unwrap();
    std::fs::write(&unfinished, &bytes[..bytes.len() - 1]).unwrap();
    let why = said(Entries::of_shards(&[
        unfinished,
        paths[1].clone(),
        paths[2].clone(),
    ]));
    assert!(why.contains("shard 1/3 is not finished"), "{why}");
    let elsewhere = tempfile::tempdir().unwrap();
    let two = finished(elsewhere.path(), Shard { index: 1, count: 2 });
    let why = said(Entries::of_shards(&[paths[2].clone(), two]));
    assert!(why.contains("shard.count is 2, not 3"), "{why}");
}

#[test]
fn shards_cut_the_work_into_even_parts() {
    for positions in [0, 1, 6, 7, 1000] {
        for count in [1, 2, 3, 7, 10] {
            let parts: Vec<_> = shards(count).map(|shard| shard.range(positions)).collect();
            assert_eq!(
                parts.iter().cloned().flatten().collect::<Vec<_>>(),
                (0..positions).collect::<Vec<_>>()
            );
            let lengths = parts.iter().map(ExactSizeIterator::len);
            assert!(lengths.clone().max().unwrap() - lengths.min().unwrap() <= 1);
        }
    }
}

#[test]
fn a_shard_is_told_from_text_and_environment() {
    let parse = |text: &str, variables: &[(&str, &str)]| {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Shard::parse(text, variable).map(|shard| (shard.index, shard.count))
    };
    let slurm = [
        ("SLURM_ARRAY_TASK_ID", "7"),
        ("SLURM_ARRAY_TASK_COUNT", "4"),
        ("SLURM_ARRAY_TASK_MIN", "1"),
        ("SLURM_ARRAY_TASK_STEP", "2"),
    ];
    assert_eq!(parse("2/8", &slurm), Ok((2, 8)));
    assert_eq!(parse("auto", &slurm), Ok((3, 4)));
    assert_eq!(parse("auto/8", &slurm), Ok((3, 8)));
    assert_eq!(
        parse("auto/8", &[("JOB_COMPLETION_INDEX", "0")]),
        Ok((0, 8))
    );
    for (text, variables) in [
        ("8/8", &slurm[..]),
        ("0/0", &[]),
        ("-1/8", &[]),
        ("8", &[]),
        ("a/b", &[]),
        ("0/9999999999999999", &[]),
        ("auto", &[]),
        ("auto", &slurm[..1]),
        ("auto/8", &[("JOB_COMPLETION_INDEX", "x")]),
        (
            "auto",
            &[
                ("SLURM_ARRAY_TASK_ID", "0"),
                ("SLURM_ARRAY_TASK_COUNT", "2"),
                ("SLURM_ARRAY_TASK_MIN", "1"),
            ],
        ),
    ] {
        assert!(parse(text, variables).is_err(), "{text}");
    }
}

#[test]
fn a_file_that_is_no_journal_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("examples.npz.journal");
    for content in ["a diary", "a diary\n", "{\"day\": 1", "{", "{\"ki"] {
        std::fs::write(&path, content).unwrap();
        let error = Journal::open_or_set_aside(&path, header(Shard::WHOLE)).unwrap_err();
        assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
    }
}
