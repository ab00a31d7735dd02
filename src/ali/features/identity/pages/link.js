// The page behind a one-time link: an invitation, or a new password. The link's secret stands behind `#`, which no
// browser sends; it is taken out of the address bar at once, and goes to the service in a body.
"use strict";

const TEXTS = {
  en: {
    accept: ["Join Ali", "Choose a password to open your account.", "Open the account"],
    reset: ["A new password", "Choose a new password for your account.", "Set the password"],
    name: "Your name", password: "Password",
    hint: "At least 12 characters. A sentence is easy to remember.",
    accepted: "Your account is open. You can sign in with your e-mail address and this password.",
    changed: "The password is set, and all sessions have ended. You can sign in with it now.",
    lost: "This link is not whole. Open it again as you got it.",
    failed: "The service cannot be reached. Try again in a moment.",
  },
  pt: {
    accept: ["Entrar no Ali", "Escolha uma senha para abrir a sua conta.", "Abrir a conta"],
    reset: ["Nova senha", "Escolha uma nova senha para a sua conta.", "Gravar a senha"],
    name: "Seu nome", password: "Senha",
    hint: "Pelo menos 12 caracteres. Uma frase é fácil de lembrar.",
    accepted: "A sua conta está aberta. Você pode entrar com o seu e-mail e esta senha.",
    changed: "A senha foi gravada e todas as sessões terminaram. Você já pode entrar com ela.",
    lost: "Este link está incompleto. Abra-o de novo como o recebeu.",
    failed: "O serviço não responde. Tente de novo em instantes.",
  },
};

const element = (id) => document.getElementById(id);
const language = navigator.language.toLowerCase().startsWith("pt") ? "pt" : "en";
const texts = TEXTS[language];
const accepting = location.pathname.endsWith("/accept-invitation");
const token = new URLSearchParams(location.hash.slice(1)).get("token");
history.replaceState(null, "", location.pathname);

const [title, intro, verb] = accepting ? texts.accept : texts.reset;
document.documentElement.lang = language === "pt" ? "pt-BR" : "en";
document.title = `${title} · Ali`;
element("title").textContent = title;
element("name-label").textContent = texts.name;
element("password-label").textContent = texts.password;
element("hint").textContent = texts.hint;
element("send").textContent = verb;
if (!accepting) element("name-row").remove();

if (token) {
  element("intro").textContent = intro;
  element("form").hidden = false;
  element("form").addEventListener("submit", send);
} else {
  element("told").textContent = texts.lost;
}

async function send(event) {
  event.preventDefault();
  element("send").disabled = true;
  element("told").textContent = "";
  const body = { token, password: element("password").value };
  if (accepting) body.name = element("name").value;
  const path = accepting ? "/v1/ali/auth/invitations/accept" : "/v1/ali/auth/password/reset/confirm";
  try {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json", "accept-language": document.documentElement.lang },
      body: JSON.stringify(body),
      credentials: "omit",
    });
    if (answer.ok) {
      element("form").remove();
      element("intro").textContent = "";
      element("told").textContent = accepting ? texts.accepted : texts.changed;
      return;
    }
    element("told").textContent = (await answer.json()).error.message;
  } catch {
    element("told").textContent = texts.failed;
  }
  element("send").disabled = false;
}
