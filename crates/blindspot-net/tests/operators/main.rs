//! Every operator, over random shapes, attributes and operands: its gradients against finite
//! differences, its images against their neighbours in the batch, its numbers against onnxruntime.

mod case;
mod cases;
mod gradients;
mod onnxruntime;
mod windows;
