//! Image files of every format against Pillow's reading of them.

use blindspot_data::{DataSpec, Fit, Locations, Silent};
use blindspot_testing::{python, run_python, skip};

/// Writes a picture in each format into a folder, and prints what Pillow reads back: a line for each
/// file in alphabetical order, of the values channel after channel, without and with the turn that the
/// orientation mark asks for.
const WRITE: &str = r"
import os, sys
import numpy as np
from PIL import Image, ImageOps

folder = sys.argv[1]
random = np.random.default_rng(0)
picture = random.integers(0, 256, (5, 7, 3), dtype=np.uint8)
# A palette of few colours, so that a GIF holds it as it is.
coarse = (picture // 128 * 255).astype(np.uint8)
save = lambda name, array, **options: Image.fromarray(array).save(os.path.join(folder, name), **options)
save('a.bmp', picture)
save('b.gif', coarse)
save('c.pgm', picture[:, :, 0])
save('d.png', picture)
save('e.ppm', picture)
save('f.tiff', picture)
save('g.tif', picture, compression='tiff_lzw')
save('h.webp', picture, lossless=True, exact=True)
for orientation in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(f'i{orientation}.png', picture, exif=exif)
for name in sorted(os.listdir(folder)):
    image = Image.open(os.path.join(folder, name))
    for view in (image, ImageOps.exif_transpose(image)):
        values = np.asarray(view.convert('RGB'))
        print(name, *values.shape, *values.transpose(2, 0, 1).reshape(-1))
";

#[test]
fn every_format_is_read_as_pillow_reads_it_and_turned_only_when_asked() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let expected = run_python(WRITE, [path], "").unwrap();
    let spec: DataSpec = format!("folder:{path}").parse().unwrap();
    let locations = Locations::offline(Vec::new());
    let set = spec.load(&locations, &mut Silent).unwrap();
    assert_eq!(set.len(), 16);
    let mut lines = expected.lines();
    for index in 0..set.len() {
        for upright in [false, true] {
            let line: Vec<&str> = lines.next().unwrap().split(' ').collect();
            let fit = Fit {
                channels: Some(3),
                upright,
                ..Fit::default()
            };
            let image = set.select(&[index]).fitted(&fit).unwrap();
            let mut values = vec![0.0; image.image_len()];
            image.read_image(0, &mut values).unwrap();
            let levels: Vec<String> = values
                .iter()
                .map(|x| (255.0 * x).round().to_string())
                .collect();
            assert_eq!(levels, line[4..], "{} {upright}", line[0]);
            let size = [1, 2].map(|axis| line[axis].parse::<usize>().unwrap());
            assert_eq!(image.shape()[1..], size);
        }
    }
}
