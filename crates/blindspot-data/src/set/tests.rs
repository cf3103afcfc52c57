//! Sets whose files break meanwhile, rounding noise, and sizes and names that don't fit.

use super::*;

#[test]
fn a_file_that_broke_meanwhile_is_an_error_where_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("image.png");
    std::fs::write(&file, crate::png(&[7; 6], [1, 2, 3]).unwrap()).unwrap();
    let listing = crate::folder::list_images(folder.path(), &crate::Labels::Subfolders);
    let set = ImageSet::of_folder(folder.path().to_owned(), listing.unwrap()).unwrap();
    let mut image = [0.0; 6];
    set.read_image(0, &mut image).unwrap();
    assert_eq!(image, [7.0 / 255.0; 6]);
    std::fs::write(&file, "no image").unwrap();
    let error = set.read_image(0, &mut image).unwrap_err().to_string();
    assert!(error.contains("image.png: it is no image"), "{error}");
    std::fs::remove_file(&file).unwrap();
    let error = set.read_image(0, &mut image).unwrap_err().to_string();
    assert_eq!(error.matches("image.png").count(), 1, "{error}");
}

#[test]
fn rounding_noise_outside_of_a_range_is_moved_to_its_ends_and_more_is_not() {
    let values = vec![-2.98e-8, 1.0, 1.000_000_1, 0.5, 1.01, -2.98e-8];
    let set = ImageSet::of_floats("x", [1, 1, 2], values, None, Vec::new()).unwrap();
    let (moved, count) = set.within_rounding([0.0, 1.0]);
    assert_eq!(count, 3);
    let mut image = [0.0; 2];
    for (position, expected) in [(0, [0.0, 1.0]), (1, [1.0, 0.5]), (2, [1.01, 0.0])] {
        moved.read_image(position, &mut image).unwrap();
        assert_eq!(image, expected);
    }
    assert_eq!(moved.select(&[1]).within_rounding([0.0, 1.0]).1, 0);
    assert_eq!(set.select(&[1]).within_rounding([0.0, 1.0]).1, 1);
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    assert!(ImageSet::new("x", [1, 2, 2], vec![0; 7], None, Vec::new()).is_err());
    let error = ImageSet::new("x", [1, 2, 2], vec![0; 8], Some(vec![1]), Vec::new());
    assert_eq!(error.unwrap_err(), "2 images have 1 labels");
}

#[test]
fn a_list_of_names_numbers_all_classes_of_a_set_or_none() {
    let mut set = ImageSet::new("x", [1, 1, 1], vec![0; 3], Some(vec![0, 2, 0]), Vec::new());
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<Vec<_>>()
    };
    let set = set.as_mut().unwrap();
    // A class without images need not be among the names.
    set.classes = Some(Arc::new(names(&["cat", "empty", "dog"])));
    let numbered = set.with_classes(names(&["eel", "dog", "cat"])).unwrap();
    assert_eq!(numbered.labels(), Some(&[2, 1, 2][..]));
    let renamed = set.with_classes(names(&["Katze", "leer", "Hund"])).unwrap();
    assert_eq!(renamed.labels(), set.labels());
    let error = set
        .with_classes(names(&["cat", "hound", "eel"]))
        .unwrap_err();
    assert!(error.to_string().contains("its class dog"), "{error}");
    assert!(set.with_classes(names(&["Katze", "Hund"])).is_err());
}
