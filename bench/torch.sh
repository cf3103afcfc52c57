# To be sourced from the project's root: $torch_python has PyTorch and what the scripts compare with, set up the first
# time.
torch_python=target/torch-python/bin/python
if [ ! -e target/torch-python/complete ]; then
    python3 -m venv target/torch-python
    "$torch_python" -m pip install --quiet --disable-pip-version-check \
        torch timm tqdm "foolbox==3.3.4" "numpy==2.4.6" "scipy==1.17.1" onnx
    # What adv-lib plots with can't be built everywhere, and is not used here: an empty module stands for it.
    "$torch_python" -m pip install --quiet --disable-pip-version-check --no-deps "adv-lib==0.2.8"
    "$torch_python" -c 'import sysconfig; open(sysconfig.get_path("purelib") + "/visdom.py", "w").close()'
    touch target/torch-python/complete
fi
