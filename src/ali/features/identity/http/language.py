"""Errors of sign-in in the language of the person who reads them: English, or Brazilian Portuguese where the browser
asks for Portuguese. Codes, which programs read, are the same.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import Request, Response
from fastapi.routing import APIRoute

from ali.features.identity.letters import Language, language_for
from ali.kernel.errors import AliError, RateLimited

PORTUGUESE: Final[dict[str, str]] = {
    "sign_in_refused": "O e-mail, a senha ou o código está errado. Tente de novo ou peça uma nova senha.",
    "second_factor_required": "Esta conta tem um segundo fator. Envie o código do aplicativo autenticador ou um código "
    "de recuperação.",
    "too_many_attempts": "Houve muitas tentativas sem sucesso. Tente de novo em {seconds} s.",
    "sign_in_busy": "Há muitas entradas ao mesmo tempo. Tente de novo em alguns segundos.",
    "password_refused": "Esta senha é curta ou longa demais (12 a 256 caracteres), comum demais, ou é o seu e-mail. "
    "Uma frase é fácil de lembrar.",
    "password_wrong": "Esta não é a senha atual da conta.",
    "code_refused": "O código não é o atual do autenticador, já foi usado, ou o cadastro expirou. Confira o relógio do "
    "aparelho.",
    "second_factor_conflict": "A conta já tem um segundo fator, ou ainda não tem nenhum.",
    "invalid_refresh_token": "A sessão terminou ou não é mais válida. Entre de novo.",
    "session_ended": "Esta sessão terminou. Entre de novo.",
    "session_not_found": "Esta sessão não existe ou já terminou.",
    "access_token_expired": "A sessão precisa ser renovada. Entre de novo.",
    "link_refused": "Este link não é válido: já foi usado ou expirou. Peça outro.",
    "account_exists": "Este e-mail já tem uma conta. Entre com ela ou peça uma nova senha.",
    "openid_sign_in_refused": "A entrada pelo provedor não pôde ser confirmada. Entre de novo.",
    "openid_not_admitted": "Esta conta do provedor não tem acesso aqui. Peça a um administrador.",
    "openid_link_required": "Já existe uma conta com o seu e-mail. Entre nela e faça o vínculo com o provedor.",
    "openid_identity_taken": "Quem entrou pelo provedor já tem outra conta aqui. Entre com ela.",
    "openid_issuer_failed": "O provedor não responde agora. Tente de novo em alguns minutos.",
}


class SpokenRoute(APIRoute):
    """A route whose errors are told in the caller's language."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override] # FastAPI names a Coroutine
        """FastAPI's handler, its `AliError`s translated on their way out."""
        handler = super().get_route_handler()

        async def spoken(request: Request) -> Response:
            try:
                return await handler(request)
            except AliError as error:
                if language_of(request) == "pt-BR":
                    error.message = in_portuguese(error)
                raise

        return spoken


def in_portuguese(error: AliError) -> str:
    """The message for people; the English one where there is no other."""
    seconds = max(1, round(error.retry_after_s)) if isinstance(error, RateLimited) else 0
    return PORTUGUESE.get(error.error_code, error.message).replace("{seconds}", str(seconds))


def language_of(request: Request) -> Language:
    """The language that a browser prefers among ours (RFC 9110, `Accept-Language`)."""
    weighed = sorted(map(_weighed, request.headers.get("accept-language", "")[:200].split(",")), reverse=True)
    for weight, tag in weighed:
        if weight > 0 and tag.split("-")[0] in {"pt", "en"}:
            return language_for(tag)
    return "en"


def _weighed(item: str) -> tuple[float, str]:
    tag, _, parameters = item.strip().lower().partition(";")
    weight = parameters.strip().removeprefix("q=")
    try:
        return (float(weight) if weight else 1.0, tag.strip())
    except ValueError:
        return (0.0, tag.strip())
