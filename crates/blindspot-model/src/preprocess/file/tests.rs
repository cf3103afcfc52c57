//! Files as Hugging Face and timm write them, and what can't be read or done.

use super::*;

fn fit(resize: Resize, crop: Option<usize>, interpolation: Interpolation) -> Option<Fit> {
    Some(Fit {
        resize: Some(resize),
        crop: crop.map(|size| [size; 2]),
        interpolation,
        ..Fit::default()
    })
}

fn preprocess(range: [f64; 2], mean: &[f64], std: &[f64]) -> Preprocess {
    Preprocess {
        range,
        mean: mean.into(),
        std: std.into(),
        ..Preprocess::default()
    }
}

/// What image processors of transformers 5 write, and what their code makes of it.
#[test]
fn files_of_hugging_face_are_read_as_their_processors_work() {
    let half = [0.5; 3];
    let imagenet = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    for (text, expected, sizes) in [
        (
            r#"{"do_normalize": true, "do_rescale": true, "do_resize": true, "image_mean": [0.5, 0.5, 0.5],
                "image_processor_type": "ViTImageProcessor", "image_std": [0.5, 0.5, 0.5], "resample": 2,
                "rescale_factor": 0.00392156862745098, "size": {"height": 224, "width": 224}}"#,
            preprocess([0.0, 1.0], &half, &half),
            fit(Resize::Exactly([224, 224]), None, Interpolation::Bilinear),
        ),
        (
            r#"{"crop_size": {"height": 224, "width": 224}, "do_center_crop": true, "do_normalize": true,
                "do_rescale": true, "do_resize": true, "image_mean": [0.485, 0.456, 0.406],
                "image_processor_type": "LevitImageProcessor", "image_std": [0.229, 0.224, 0.225],
                "resample": 3, "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 224}}"#,
            preprocess([0.0, 1.0], &imagenet.0, &imagenet.1),
            fit(Resize::Shorter(256), Some(224), Interpolation::Bicubic),
        ),
        (
            r#"{"crop_pct": 0.875, "do_normalize": true, "do_rescale": true, "do_resize": true,
                "image_mean": [0.5, 0.5, 0.5], "image_processor_type": "ConvNextImageProcessor",
                "image_std": [0.5, 0.5, 0.5], "resample": 3, "rescale_factor": 0.00392156862745098,
                "size": {"shortest_edge": 224}}"#,
            preprocess([0.0, 1.0], &half, &half),
            fit(Resize::Shorter(256), Some(224), Interpolation::Bicubic),
        ),
        (
            r#"{"crop_pct": 0.875, "do_resize": true, "resample": 3, "size": {"shortest_edge": 384}}"#,
            Preprocess::default(),
            fit(Resize::Exactly([384, 384]), None, Interpolation::Bicubic),
        ),
        (
            r#"{"crop_pct": 0.9, "crop_size": {"height": 224, "width": 224}, "do_center_crop": true,
                "do_normalize": false, "do_resize": true, "resample": 3, "size": {"shortest_edge": 224}}"#,
            Preprocess::default(),
            fit(Resize::Shorter(248), Some(224), Interpolation::Bicubic),
        ),
        (
            r#"{"crop_size": {"height": 256, "width": 256}, "do_center_crop": true,
                "do_flip_channel_order": true, "do_rescale": true, "do_resize": true,
                "image_mean": [0.5, 0.5, 0.5], "image_processor_type": "MobileViTImageProcessor",
                "image_std": [0.5, 0.5, 0.5], "resample": 3, "rescale_factor": 0.00392156862745098,
                "size": {"shortest_edge": 224}}"#,
            Preprocess {
                channel_order: ChannelOrder::Bgr,
                ..Preprocess::default()
            },
            fit(Resize::Shorter(224), Some(256), Interpolation::Bicubic),
        ),
        (
            r#"{"do_center_crop": false, "do_normalize": true, "do_rescale": true, "do_resize": true,
                "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "include_top": true,
                "resample": 0, "rescale_factor": 0.00392156862745098, "rescale_offset": false,
                "size": {"height": 346, "width": 346}}"#,
            preprocess([0.0, 1.0], &half, &[0.25; 3]),
            fit(Resize::Exactly([346, 346]), None, Interpolation::Nearest),
        ),
        // Older ones.
        (
            r#"{"do_normalize": true, "do_resize": true, "feature_extractor_type": "ViTFeatureExtractor",
                "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2, "size": 224}"#,
            preprocess([0.0, 1.0], &half, &half),
            fit(Resize::Exactly([224, 224]), None, Interpolation::Bilinear),
        ),
        (
            r#"{"do_normalize": true, "do_rescale": false, "image_mean": 127.5, "image_std": 64}"#,
            preprocess([0.0, 255.0], &[127.5], &[64.0]),
            None,
        ),
    ] {
        let read = read(text).unwrap();
        assert_eq!(read.preprocess, expected, "{text}");
        assert_eq!(read.fit, sizes, "{text}");
    }
}

#[test]
fn files_of_timm_are_read() {
    let inside = r#"{"input_size": [3, 224, 224], "interpolation": "bicubic", "crop_pct": 0.9,
                     "crop_mode": "center", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}"#;
    let whole = format!(r#"{{"architecture": "deit", "pretrained_cfg": {inside}}}"#);
    for text in [inside, &whole] {
        let read = read(text).unwrap();
        assert_eq!(read.preprocess.std, [0.229, 0.224, 0.225]);
        assert_eq!(
            read.fit,
            fit(Resize::Shorter(248), Some(224), Interpolation::Bicubic)
        );
    }
    let squash = inside.replace("center", "squash");
    assert_eq!(
        read(&squash).unwrap().fit.unwrap().resize,
        Some(Resize::Exactly([248, 248]))
    );
}

#[test]
fn what_can_not_be_read_or_done_is_named() {
    for (text, why) in [
        ("[1]", "no object"),
        ("{", "no JSON"),
        ("{}", "image_mean"),
        (r#"{"do_pad": true, "do_resize": true}"#, "it pads images"),
        (
            r#"{"do_resize": true, "size": {"longest_edge": 9}}"#,
            "`size`",
        ),
        (r#"{"do_resize": true, "size": 0}"#, "`size`"),
        (
            r#"{"do_resize": true, "size": 9, "crop_pct": 0}"#,
            "`crop_pct`",
        ),
        (
            r#"{"do_resize": "yes"}"#,
            "`do_resize` is \"yes\", not true or false",
        ),
        (
            r#"{"do_normalize": true, "image_mean": ["a"]}"#,
            "`image_mean`",
        ),
        (
            r#"{"do_rescale": true, "rescale_factor": -1}"#,
            "`rescale_factor`",
        ),
        (
            r#"{"do_resize": true, "size": 9, "resample": 7}"#,
            "bicubic (3)",
        ),
        (
            r#"{"input_size": [3, 9, 9], "mean": 0, "crop_mode": "border"}"#,
            "border",
        ),
        (r#"{"input_size": [3, 9, 8], "mean": 0}"#, "no square"),
        (
            r#"{"input_size": [3, 9, 9], "mean": 0, "crop_pct": 2}"#,
            "`crop_pct`",
        ),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
}
