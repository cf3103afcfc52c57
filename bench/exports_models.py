"""The models of exports.py, with random weights: what makes each, and the shape of its input.

A model is made by a function without arguments that gives a PyTorch module and the shape of one input, or a fitted
estimator of scikit-learn and its inputs.
"""

import functools

import numpy as np

TORCHVISION = {
    "alexnet": 224, "convnext_tiny": 64, "densenet121": 64, "efficientnet_b0": 64, "efficientnet_v2_s": 64,
    "googlenet": 64, "inception_v3": 128, "maxvit_t": 224, "mnasnet0_5": 64, "mobilenet_v2": 64,
    "mobilenet_v3_small": 64, "regnet_x_400mf": 64, "regnet_y_400mf": 64, "resnet18": 64, "resnext50_32x4d": 64,
    "shufflenet_v2_x0_5": 64, "squeezenet1_1": 64, "swin_t": 64, "swin_v2_t": 64, "vgg11": 224, "vit_b_32": 64,
    "wide_resnet50_2": 64,
}

# One or two of each family, the smallest.
TIMM = """
    test_vit mobilenetv3_small_050 convnext_atto levit_128s xcit_nano_12_p16_224 regnetx_002 efficientvit_m0
    swinv2_cr_tiny_ns_224 crossvit_9_240 edgenext_xx_small mobilevit_xxs ghostnet_100 halonet26t gcvit_xxtiny
    lambda_resnet26t maxvit_rmlp_pico_rw_256 coat_lite_tiny volo_d1_224 tnt_s_patch16_224 sequencer2d_s mvitv2_tiny
    focalnet_tiny_srf hiera_tiny_224 eva02_tiny_patch14_224 fastvit_t8 repvit_m0_9 starnet_s1 tiny_vit_5m_224
    efficientformer_l1 botnet26t_256 bat_resnext26ts mobilevitv2_050 swin_s3_tiny_224 twins_svt_small pit_ti_224
    nest_tiny convit_tiny cait_xxs24_224 davit_tiny caformer_s18 coatnet_nano_rw_224 gmlp_ti16_224 mixer_s32_224
    resmlp_12_224 poolformer_s12 pvt_v2_b0 shvit_s1 swiftformer_xs visformer_tiny vit_relpos_small_patch16_224
    vitamin_small_224 mambaout_femto inception_next_tiny nextvit_small rdnet_tiny fasternet_t0 mobilenetv4_conv_small
    mobileone_s0 convnextv2_atto swinv2_tiny_window8_256 deit_tiny_patch16_224 efficientnet_b0 efficientvit_b0 lcnet_050
    mixnet_s nf_regnet_b0 repghostnet_050 rexnet_100 resnest14d skresnet18 selecsls42b hgnetv2_b0 ese_vovnet19b_dw
    dla46_c cspresnet50 dpn68 res2net50_14w_8s hrnet_w18_small tresnet_m xception41 densenet121 resnet10t
""".split()


def torchvision_model(name, size):
    import torchvision

    given = dict(weights=None, num_classes=10)
    if name in ("googlenet", "inception_v3"):
        given |= dict(init_weights=True)
    if name == "vit_b_32":
        given |= dict(image_size=size)
    return torchvision.models.get_model(name, **given), (3, size, size)


def timm_model(name):
    """In the smallest size that it can have."""
    import timm
    import torch

    problem = None
    for size in 64, 96, 128, None:
        given = dict(img_size=size) if size else {}
        for given in (given, {}):
            try:
                model = timm.create_model(name, num_classes=10, **given).eval()
                own = timm.data.resolve_model_data_config(model)["input_size"]
                shape = (3, size, size) if size else own
                with torch.no_grad():
                    model(torch.zeros(1, *shape))
                return model, shape
            except Exception as error:
                problem = error
    raise problem


def transformer(kind, **given):
    """A classifier of transformers, of pixels."""
    import torch
    import transformers

    config = getattr(transformers, kind + "Config")(num_labels=10, attn_implementation="eager", **given)
    network = getattr(transformers, kind + "ForImageClassification")(config)

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, pixel_values):
            return self.network(pixel_values=pixel_values).logits

    size = given.get("image_size", 64)
    return Logits(), (3, size, size)


def bert(kind="Bert"):
    """A small language model on embeddings, with a class for the whole."""
    import torch
    import transformers

    config = getattr(transformers, kind + "Config")(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, num_labels=4,
        max_position_embeddings=64)
    network = getattr(transformers, kind + "ForSequenceClassification")(config)

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, inputs_embeds):
            return self.network(inputs_embeds=inputs_embeds).logits

    return Logits(), (12, 32)


def keras_model(kind):
    import os

    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    from keras import layers as l

    keras.utils.set_random_seed(0)
    if kind == "dense":
        return keras.Sequential([l.Input((20,)), l.Dense(30, "relu"), l.Dropout(0.5), l.BatchNormalization(),
                                 l.Dense(5, "softmax")]), (20,)
    if kind == "conv":
        return keras.Sequential([l.Input((28, 28, 1)), l.Conv2D(8, 3, activation="relu"), l.MaxPooling2D(), l.Conv2D(
            16, 3, padding="same", activation="relu"), l.GlobalAveragePooling2D(), l.Dense(10, "softmax")]), (28, 28, 1)
    if kind == "separable":
        return keras.Sequential([l.Input((32, 32, 3)), l.Rescaling(1 / 127.5, -1.0), l.SeparableConv2D(
            8, 3, strides=2, padding="same"), l.BatchNormalization(), l.LeakyReLU(), l.ZeroPadding2D(1), l.DepthwiseConv2D(
            3), l.AveragePooling2D(2), l.Flatten(), l.Dense(10)]), (32, 32, 3)
    if kind == "lstm":
        return keras.Sequential([l.Input((9, 6)), l.Bidirectional(l.LSTM(8)), l.Dense(4)]), (9, 6)
    if kind == "attention":
        x = l.Input((10, 16))
        h = l.LayerNormalization()(x + l.MultiHeadAttention(2, 8)(x, x))
        return keras.Model(x, l.Dense(4)(l.GlobalAveragePooling1D()(l.Dense(16, "gelu")(h)))), (10, 16)
    application, size = kind
    return getattr(keras.applications, application)(weights=None, classes=10, input_shape=(size, size, 3)), (size, size, 3)


def fitted(estimator, classes=3, positive=False):
    """An estimator of scikit-learn, fitted to clouds of points, and some of them."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), 60)
    points = (random.normal(size=(classes, 8))[labels] + random.normal(size=(len(labels), 8))).astype(np.float32)
    points = abs(points) if positive else points
    return estimator.fit(points, labels), points[::70][:2]


def estimators():
    from sklearn import calibration, discriminant_analysis, ensemble, linear_model, naive_bayes, neighbors
    from sklearn import neural_network, pipeline, preprocessing, svm, decomposition, multiclass

    mlp = functools.partial(neural_network.MLPClassifier, max_iter=60, random_state=0)
    logistic = linear_model.LogisticRegression
    scaled = pipeline.make_pipeline
    return {
        "mlp": mlp((20,)), "mlp tanh": mlp((20, 10), activation="tanh"), "mlp logistic": mlp((9,), activation="logistic"),
        "logistic": logistic(), "ridge": linear_model.RidgeClassifier(), "perceptron": linear_model.Perceptron(),
        "sgd": linear_model.SGDClassifier(), "sgd log": linear_model.SGDClassifier(loss="log_loss"),
        "linear svc": svm.LinearSVC(),
        "svc linear": svm.SVC(kernel="linear"), "svc poly": svm.SVC(kernel="poly"), "svc rbf": svm.SVC(),
        "svc probability": svm.SVC(probability=True), "nu svc": svm.NuSVC(),
        "scaler mlp": scaled(preprocessing.StandardScaler(), mlp((20,))),
        "minmax logistic": scaled(preprocessing.MinMaxScaler(), logistic()),
        "maxabs svc": scaled(preprocessing.MaxAbsScaler(), svm.SVC()),
        "robust logistic": scaled(preprocessing.RobustScaler(), logistic()),
        "normaliser logistic": scaled(preprocessing.Normalizer(), logistic()),
        "polynomial logistic": scaled(preprocessing.PolynomialFeatures(2), preprocessing.StandardScaler(), logistic()),
        "pca mlp": scaled(decomposition.PCA(4), mlp((20,))),
        "power logistic": scaled(preprocessing.PowerTransformer(), logistic()),
        "ovr logistic": multiclass.OneVsRestClassifier(logistic()),
        "lda": discriminant_analysis.LinearDiscriminantAnalysis(),
        "qda": discriminant_analysis.QuadraticDiscriminantAnalysis(), "naive bayes": naive_bayes.GaussianNB(),
        "calibrated": calibration.CalibratedClassifierCV(svm.LinearSVC()),
        "neighbours": neighbors.KNeighborsClassifier(), "forest": ensemble.RandomForestClassifier(5, random_state=0),
        "voting": ensemble.VotingClassifier([("a", logistic()), ("b", mlp((9,)))], voting="soft", flatten_transform=False),
    }


def models():
    """All models, by names that begin with their collection's."""
    made = {}
    for name, size in TORCHVISION.items():
        made[f"torchvision/{name}"] = functools.partial(torchvision_model, name, size)
    for name in TIMM:
        made[f"timm/{name}"] = functools.partial(timm_model, name)
    small = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=32,
                 patch_size=8)
    swin = dict(image_size=32, patch_size=2, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4)
    for kind, given in {
        "ViT": small, "DeiT": small, "Swin": swin, "Swinv2": swin, "Beit": small,
        "ConvNext": dict(hidden_sizes=[16, 24], depths=[2, 2], num_stages=2, image_size=32),
        "ConvNextV2": dict(hidden_sizes=[16, 24], depths=[2, 2], num_stages=2, image_size=32),
        "ResNet": dict(embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1]),
        "MobileNetV2": dict(image_size=64), "MobileViT": dict(image_size=64), "Dinov2": small, "PoolFormer": {},
        "Levit": dict(image_size=224), "RegNet": dict(
            embedding_size=16, hidden_sizes=[16, 32, 32, 48], depths=[1, 1, 1, 1], groups_width=8),
        "EfficientNet": dict(image_size=64, width_coefficient=0.5, depth_coefficient=0.5),
        "Bit": dict(embedding_size=16, hidden_sizes=[32, 64], depths=[1, 1], num_groups=4), "Pvt": dict(image_size=64),
        "Segformer": {}, "FocalNet": dict(image_size=32, patch_size=2, embed_dim=16, depths=[2, 2],
                                                          hidden_sizes=[16, 32], focal_levels=[1, 1], focal_windows=[3, 3]),
    }.items():
        made[f"transformers/{kind}"] = functools.partial(transformer, kind, **given)
    for kind in "Bert", "Roberta", "DistilBert", "Electra":
        made[f"transformers/{kind}"] = functools.partial(bert, kind)
    for kind in "dense", "conv", "separable", "lstm", "attention":
        made[f"keras/{kind}"] = functools.partial(keras_model, kind)
    for application in "MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "DenseNet121", "ResNet50V2", "MobileNet":
        made[f"keras/{application}"] = functools.partial(keras_model, (application, 96))
    for name in ["mlp", "mlp tanh", "mlp logistic", "logistic", "ridge", "perceptron", "sgd", "sgd log", "linear svc",
                 "svc linear", "svc poly", "svc rbf", "svc probability", "nu svc", "scaler mlp", "minmax logistic",
                 "maxabs svc", "robust logistic", "normaliser logistic", "polynomial logistic", "pca mlp",
                 "power logistic", "ovr logistic", "lda", "qda", "naive bayes", "calibrated", "neighbours", "forest",
                 "voting"]:
        made[f"sklearn/{name}"] = functools.partial(lambda name: fitted(estimators()[name]), name)
    for name in "logistic", "mlp", "svc rbf", "linear svc":
        made[f"sklearn/{name}, two classes"] = functools.partial(lambda name: fitted(estimators()[name], 2), name)
    return made
