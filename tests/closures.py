"""Which of the project's own modules a module needs, read from the source."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("denoise", "stages")


def module_files() -> dict[str, Path]:
    """Map every module of the library and the stages to its file, relative to the root."""
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files}
    return {names[path].removesuffix(".__init__"): path.relative_to(ROOT) for path in files}


class _Runtime(ast.NodeTransformer):
    """Drops what runs under a type checker alone."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        is_typing = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return None if is_typing else self.generic_visit(node)


def imported_names(path: Path) -> set[str]:
    """Collect every dotted name that a file imports when it runs, inside functions too."""
    names: set[str] = set()
    tree = _Runtime().visit(ast.parse((ROOT / path).read_text(encoding="utf-8")))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def packages_of(module: str) -> set[str]:
    """Name the packages whose `__init__` Python runs before it imports `module`."""
    parts = module.split(".")
    return {".".join(parts[:end]) for end in range(1, len(parts))}


def holds_code(path: Path) -> bool:
    """Tell whether a file holds more than a docstring."""
    body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
    return any(
        not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in body
    )


def import_closure(module: str) -> set[str]:
    """Return the files, as dvc.yaml writes them, whose edit can change what `module` does."""
    files = module_files()
    seen: set[str] = set()
    waiting = {module}
    while waiting:
        name = waiting.pop()
        seen.add(name)
        found = (imported_names(files[name]) | packages_of(name)) & files.keys()
        waiting |= found - seen
    return {files[name].as_posix() for name in seen if holds_code(files[name])}
