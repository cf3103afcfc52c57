# To be sourced from the project's root: $torch_python has PyTorch, Foolbox and SciPy, set up the first time.
torch_python=target/compare-python/bin/python
if [ ! -x "$torch_python" ]; then
    python3 -m venv target/compare-python
    "$torch_python" -m pip install --quiet torch "foolbox==3.3.4" "scipy==1.17.1" onnx
fi
