-- What wrk sends without a pause: a GET of each path in turn; they stand behind `--` on its command line.
local paths = {}
local number = 0

function init(given)
  paths = given
end

function request()
  number = number % #paths + 1
  return wrk.format("GET", paths[number])
end
