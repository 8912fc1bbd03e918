"""A trained student to its encoder folder."""

from pathlib import Path

from hpdsearch.distillation.export.static import export_static
from hpdsearch.distillation.export.transformer import export_encoder
from hpdsearch.distillation.spec import Precision
from hpdsearch.distillation.student.student import Student
from hpdsearch.encoder import Backend, Encoder
from hpdsearch.encoder.bert import HEAD
from hpdsearch.encoder.static_backend import TABLE


def export_student(
    student: Student, folder: Path, *, name: str, space: str, precision: Precision, int8_graph: bool = True
) -> Encoder:
    """Write the encoder folder of a student and load the encoder.

    Args:
        student: trained.
        folder: created if missing.
        name: of the encoder.
        space: id of the space that the student was trained into.
        precision: storage type of the large matrices.
        int8_graph: see DistillSpec.
    """
    tensors = {key: tensor.detach().cpu().numpy() for key, tensor in student.tensors.items()}
    init_model = student.init_model
    if TABLE in tensors:
        export_static(
            folder,
            name=name,
            space=space,
            table=tensors[TABLE],
            tokenizer=init_model.tokenizer,
            max_tokens=init_model.max_tokens,
            precision=precision,
        )
    else:
        export_encoder(
            folder,
            name=name,
            space=space,
            bert=tensors,
            head=tensors[HEAD],
            n_heads=init_model.n_heads,
            tokenizer=init_model.tokenizer,
            max_tokens=init_model.max_tokens,
            layer_norm_eps=init_model.epsilon,
            precision=precision,
            int8_graph=int8_graph,
        )
    return Encoder.load(folder, backend=Backend.ONNX)
