//! Certificates and robust accuracy in each norm, as files have them.

mod common;

use std::path::Path;

use blindspot_testing::{python, run_python, skip};
use common::{folder, run, small};

/// Runs a command that must succeed; gives what it said.
fn done(dir: &Path, words: &str) -> String {
    let (exit, said, error) = run(dir, words);
    assert_eq!(exit, 0, "{words}: {error}");
    said
}

const NORMS: [(&str, &str); 4] = [("l2", "L2"), ("linf", "Linf"), ("l1", "L1"), ("l0", "L0")];

#[test]
fn certificates_of_both_commands_are_in_the_norm_that_was_asked_for() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = folder();
    let dir = folder.path();
    small(dir);
    let data = "model.onnx --data npz:data.npz --samples 30";
    for (norm, title) in NORMS {
        let said = done(
            dir,
            &format!("certify {data} --norm {norm} -o c-{norm}.npz --report c-{norm}.html"),
        );
        assert!(said.contains(&format!("mean {title} norm")), "{said}");
        let words = format!("attack {data} --norm {norm} --certify -o a-{norm}.npz");
        let said = done(dir, &format!("{words} --report a-{norm}.html"));
        assert!(
            said.contains(&format!("certificate        mean {title} norm")),
            "{said}"
        );
        for page in ["a", "c"] {
            let page = std::fs::read_to_string(dir.join(format!("{page}-{norm}.html"))).unwrap();
            let others = NORMS.iter().filter(|(_, other)| *other != title);
            assert!(page.contains(&format!("{title} norm")), "{norm}");
            for (_, other) in others.filter(|(_, other)| *other != "L2") {
                assert!(!page.contains(&format!("{other} norm")), "{norm}: {other}");
            }
        }
    }
    let check = "import sys, json, numpy as np\n\
        for norm in ['l2', 'linf', 'l1', 'l0']:\n\
        \x20   c, a = (np.load(f'{sys.argv[1]}/{k}-{norm}.npz') for k in 'ca')\n\
        \x20   assert sorted(c) == sorted(['certificate', 'index', 'label', 'lipschitz', norm])\n\
        \x20   assert (c['certificate'] == a['certificate']).all() and (c[norm] == a[norm]).all()\n\
        \x20   right = c[norm] > 0\n\
        \x20   assert right.sum() > 10 and (c['certificate'] <= c[norm]).all()\n\
        \x20   assert (c['certificate'][right] > 0).all()\n\
        \x20   s, r = (json.load(open(f'{sys.argv[1]}/{k}-{norm}.json')) for k in 'ca')\n\
        \x20   assert s['options']['norm'] == r['options']['norm'] == norm\n\
        \x20   found, sure = c[norm][right].mean(), c['certificate'][right].mean()\n\
        \x20   assert np.isclose(s['summary']['found_mean'], found)\n\
        \x20   assert np.isclose(s['summary']['ratio'], sure / found)\n\
        \x20   assert np.isclose(r['certificate']['ratio'], sure / found)\n\
        print('held')";
    assert_eq!(run_python(check, [dir], "").unwrap().trim(), "held");
}

#[test]
fn robust_accuracy_is_counted_from_the_arrays() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = folder();
    let dir = folder.path();
    small(dir);
    let words = "attack model.onnx --data npz:data.npz --samples 50 --norm linf --certify --epsilon 4/255,0.05,0.1,0.2,0.3";
    let said = done(dir, &format!("{words} -o a.npz --report page.html"));
    assert!(
        said.contains("robust accuracy    up to Linf 0.0500: at most"),
        "{said}"
    );
    let page = std::fs::read_to_string(dir.join("page.html")).unwrap();
    assert!(page.contains("Linf norm up to") && page.contains("95% interval"));
    // Of shards the same.
    for i in 0..2 {
        done(dir, &format!("{words} -q --shard {i}/2 -o parts"));
    }
    done(dir, "merge parts -q -o merged.npz");
    for end in ["json", "robust.csv", "robust.svg"] {
        let read = |name: &str| std::fs::read_to_string(dir.join(format!("{name}.{end}"))).unwrap();
        assert_eq!(read("a"), read("merged"), "{end}");
    }
    let check = "import sys, json, csv, numpy as np\n\
        from statistics import NormalDist\n\
        z = NormalDist().inv_cdf(0.975)\n\
        a = np.load(sys.argv[1] + '/a.npz')\n\
        n = len(a['linf'])\n\
        right = a['prediction_before'] == a['label']\n\
        def counts(e):\n\
        \x20   fooled = a['success'] & (a['linf'] <= e)\n\
        \x20   return (right & ~fooled).sum(), (a['certificate'] > e).sum()\n\
        bounds = json.load(open(sys.argv[1] + '/a.json'))['robust_accuracy']\n\
        assert [b['epsilon'] for b in bounds] == [4 / 255, 0.05, 0.1, 0.2, 0.3]\n\
        seen = set()\n\
        for b in bounds:\n\
        \x20   for share, k in zip((b['at_most'], b['at_least']), counts(b['epsilon'])):\n\
        \x20       assert share['images'] == k and share['share'] == k / n\n\
        \x20       for end in (share['low'], share['high']):\n\
        \x20           # Wilson: the fractions that lie z of their own deviations from the share.\n\
        \x20           assert abs(abs(k / n - end) - z * np.sqrt(end * (1 - end) / n)) < 1e-9\n\
        \x20       seen.add(k)\n\
        \x20   assert b['at_least']['images'] <= b['at_most']['images']\n\
        assert len(seen) > 2, seen\n\
        rows = list(csv.reader(open(sys.argv[1] + '/a.robust.csv')))\n\
        assert rows[0] == ['norm', 'found by the search', 'certified'] and len(rows) > 20\n\
        for e, *shares in rows[1:]:\n\
        \x20   most, least = counts(float(e))\n\
        \x20   assert np.allclose([float(s) for s in shares], [most / n, least / n]), e\n\
        print('held')";
    assert_eq!(run_python(check, [dir], "").unwrap().trim(), "held");
}

#[test]
fn norms_that_are_none_are_refused() {
    let folder = folder();
    let dir = folder.path();
    small(dir);
    for epsilon in ["-1", "x", "1/0", "0.1,,0.2"] {
        let words = format!("attack model.onnx --data npz:data.npz --epsilon={epsilon} -o a.npz");
        let (exit, _, error) = run(dir, &words);
        assert_eq!(exit, 2, "{epsilon}: {error}");
        assert!(error.contains("4/255,8/255"), "{error}");
    }
}
