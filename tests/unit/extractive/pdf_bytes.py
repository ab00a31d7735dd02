"""PDFs written by hand, small enough to read: one line of Helvetica a line of text."""

from collections.abc import Sequence


def make_pdf(pages: Sequence[Sequence[str]], *, encrypted: bool = False) -> bytes:
    """A PDF whose pages hold these lines. `encrypted` names a security handler whose password nobody knows."""
    count = len(pages)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%s] >>" % (count, b" ".join(b"%d 0 R" % (4 + 2 * n) for n in range(count))),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, lines in enumerate(pages):
        drawn = b"".join(b"(%s) Tj T*\n" % _escaped(line) for line in lines)
        content = b"BT /F1 11 Tf 14 TL 50 800 Td\n" + drawn + b"ET" if lines else b"0 0 m 100 100 l S"
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % (5 + 2 * number)
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
    if encrypted:
        objects.append(
            b"<< /Filter /Standard /V 1 /R 2 /P -44 /O <" + b"41" * 32 + b"> /U <" + b"42" * 32 + b"> /Length 40 >>"
        )
    return pdf_file(objects, encrypted=encrypted)


def _escaped(line: str) -> bytes:
    return line.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def pdf_file(objects: Sequence[bytes], *, encrypted: bool = False) -> bytes:
    """A file of these objects, the first being its catalog."""
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    extra = b" /Encrypt %d 0 R /ID [<00> <00>]" % len(objects) if encrypted else b""
    out += b"trailer\n<< /Size %d /Root 1 0 R%s >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, extra, start)
    return bytes(out)


MANUAL = make_pdf(
    [
        ["Manual da Bomba Hidráulica", "Capítulo 1 Apresentação", "A bomba foi projetada por Ana Souza em Recife."],
        [
            "Manual da Bomba Hidráulica",
            "2.1 Manutenção",
            "O filtro de óleo deve ser trocado a cada 500 horas de uso ou, em am-",
            "bientes com poeira, a cada 200 horas.",
            "A garantia vale por 24 meses a partir da data da compra.",
        ],
        [
            "Manual da Bomba Hidráulica",
            "3.1 Segurança",
            "Nunca abra a tampa com o motor em funcionamento.",
            "O peso total do equipamento é de 85 kg.",
        ],
    ]
)
"""Three pages in Portuguese under a repeated header."""
