"""Knowledge distillation: a model learns another's answers, wrong ones included."""

from torch import Tensor
from torch.nn import functional


def softened_divergence(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Knowledge distillation (Hinton, Vinyals and Dean 2015): ``T² · KL(teacher ‖ student)``, both softened by T.

    Both (n, classes). Gradients shrink with the temperature squared, hence the factor.
    """
    student = functional.log_softmax(logits / temperature, 1)
    teacher = functional.log_softmax(teacher_logits / temperature, 1)
    return temperature**2 * functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
