"""What the README and the guide promise in ten lines; given an ONNX file of pictures, and a folder to write to."""

import sys

import numpy as np

import blindspot as bs

model = bs.load(sys.argv[1], mean=0.0, std=1.0)
images = np.random.default_rng(0).uniform(size=(8, *model.shape))
found = bs.attack(model, images, model.predict(images))
print(found, found.norm.mean(), found.success.all(), found.kkt.max(), found.adversarial.shape)
found.save(f"{sys.argv[2]}/examples.npz")
found.save_images(f"{sys.argv[2]}/changed")
radii = bs.certify(model, images, model.predict(images))
print(radii, radii.certificate / radii.l2)
print(bs.spectrum(model).columns(), bs.units(model, images, layer=model.layers[0], statistics=False))
print(bs.transfer(found, [model], noise=0.1).error, bs.inspect(sys.argv[1])["problem"])
