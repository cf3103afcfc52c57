//! What helps where an operator is not supported.

/// What to do about an operator that is not supported, in words that may follow a semicolon; `operator`
/// has its domain before its name unless that is ONNX's own.
pub(super) fn help(operator: &str) -> &'static str {
    let (domain, name) = operator.rsplit_once('.').unwrap_or(("", operator));
    match (domain, name) {
        ("ai.onnx.ml", name) if name.starts_with("Tree") => {
            "trees have no gradient, so that nothing here can be done with them"
        }
        ("", "If" | "Loop" | "Scan") => {
            "what runs only under a condition or in a loop has no fixed graph: export the model by \
             tracing, or simplify it (onnxsim)"
        }
        ("", "NonMaxSuppression" | "RoiAlign") => {
            "boxes are a detector's: export the classifier alone"
        }
        ("", "RandomNormal" | "RandomNormalLike" | "RandomUniform" | "RandomUniformLike")
        | ("", "Bernoulli" | "Multinomial") => {
            "random numbers are drawn while it is trained: export the model for inference"
        }
        ("", name) if name.starts_with("String") || name == "RegexFullMatch" => {
            "texts have no gradient: export the part of the model after them"
        }
        ("com.microsoft", _) => {
            "onnxruntime's optimiser has fused operators: give the model as it was before that"
        }
        ("", _) => "simplify the model (onnxsim), or export it with another version of operators",
        _ => "it is no operator of ONNX: export the model without custom operators",
    }
}
