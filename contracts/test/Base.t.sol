// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {IMarketBase} from "../src/interfaces/IMarketBase.sol";
import {Messages} from "../src/libraries/Messages.sol";
import {Votes} from "../src/libraries/Votes.sol";
import {IMarket} from "../src/interfaces/IMarket.sol";

/// @notice A market with 24 live seats of eight owners, a requester and providers with money, and steps of a job's life.
abstract contract Base is Test, IMarketBase {
    uint96 internal constant STAKE = 1000e18;
    uint96 internal constant FEE = 1e18;
    uint96 internal constant PRICE = 90e18;
    uint256 internal constant OWNERS = 8;
    bytes32 internal constant NO_KEYS = keccak256("heldout/no-keys");
    bytes32 internal constant WORD = keccak256("word");
    bytes32 internal constant SALT = keccak256("salt");
    uint8 internal constant REQUESTER = 8;

    ERC20Permit internal token;
    IMarket internal market;
    address internal requester = makeAddr("requester");
    address internal stranger = makeAddr("stranger");
    address[8] internal providers;
    uint256[8] internal providerKeys;
    bytes32[] internal known; // jobs, in the order in which their terms were remembered
    mapping(bytes32 id => bytes) private _terms_;
    mapping(bytes32 id => mapping(uint8 round => bytes32[])) private _links;
    mapping(bytes32 id => mapping(uint8 round => mapping(uint256 place => uint256))) private _turns; // from 1
    mapping(bytes32 id => uint8) private _voting; // the round in which somebody committed last

    function setUp() public virtual {
        vm.roll(1000);
        vm.warp(1_800_000_000);
        token = ERC20Permit(deployCode("HeldToken.sol:HeldToken", abi.encode(1e30)));
        market = _deployMarket(address(token), STAKE, 0.01e18, address(0), _limits());
        _fund(requester, 100_000e18);
        for (uint256 i; i < providers.length; ++i) {
            (providers[i], providerKeys[i]) = makeAddrAndKey(string.concat("provider", vm.toString(i)));
            _fund(providers[i], 10_000e18);
        }
        for (uint256 i; i < OWNERS; ++i) {
            _fund(_owner(i), 10_000e18);
            vm.prank(_owner(i));
            market.stake(3, _hot(i), bytes32(i));
        }
        vm.roll(1010);
    }

    /// @dev The artifacts that ship, not a build of the test's own: only src needs the slow pipeline.
    function _deployMarket(address token_, uint96 stake, uint96 fee, address beacon, Limits memory limits)
        internal
        returns (IMarket)
    {
        address resolution = _deployResolution(token_, stake, fee, beacon, limits);
        return IMarket(_deploy("Market.sol:Market", abi.encode(resolution)));
    }

    /// @dev The second half of the code, where every argument is checked.
    function _deployResolution(address token_, uint96 stake, uint96 fee, address beacon, Limits memory limits)
        internal
        returns (address)
    {
        return _deploy("Resolution.sol:Resolution", abi.encode(token_, stake, fee, beacon, limits));
    }

    function _deploy(string memory artifact, bytes memory arguments) private returns (address created) {
        bytes memory code = bytes.concat(vm.getCode(artifact), arguments);
        assembly ("memory-safe") {
            created := create(0, add(code, 0x20), mload(code))
        }
        require(created != address(0), "not created"); // or an expected revert that did not come would be overlooked
    }

    /* --------------------------------------------------------------- signatures */

    /// @dev An EIP-712 signature for the market under test (P8).
    function _signed(uint256 key, bytes32 structHash) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, _digest(structHash));
        return abi.encodePacked(r, s, v);
    }

    function _digest(bytes32 structHash) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Heldout"),
                keccak256("1"),
                block.chainid,
                address(market)
            )
        );
        return keccak256(abi.encodePacked("\x19\x01", domain, structHash));
    }

    /// @dev What requester and providers sign to end a job (P6.1).
    function _outcomeOf(bytes32 id, uint64 validUntil, AgreedLane[] memory lanes) internal pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](lanes.length);
        for (uint256 i; i < lanes.length; ++i) {
            hashes[i] = keccak256(abi.encode(Messages.AGREED_LANE_TYPEHASH, lanes[i]));
        }
        bytes32 all = keccak256(abi.encodePacked(hashes));
        return keccak256(abi.encode(Messages.OUTCOME_TYPEHASH, id, validUntil, all));
    }

    /* --------------------------------------------------------------- builders */

    function _limits() internal pure returns (Limits memory) {
        Window memory window = Window(10, 7 days);
        return Limits(window, window, window, window, window, window, 1 << 24, 1 << 30, 1e9);
    }

    function _terms() internal view returns (JobTerms memory terms) {
        terms.requester = requester;
        terms.wrapKey = keccak256("wrap");
        terms.lanes = 1;
        terms.priceCap = 100e18;
        terms.floor = 800_000;
        terms.target = 950_000;
        terms.floorPay = 500_000;
        terms.metric = 1;
        terms.scorer = keccak256("score-v1");
        terms.operationCap = 1e6;
        terms.shardBytes = 1 << 16;
        terms.weightsBytes = 1 << 20;
        terms.taskHash = keccak256("task");
        terms.dataRoot = keccak256("data");
        terms.shards = 20;
        terms.heldOut = 5;
        terms.committee = 3;
        terms.fee = FEE;
        terms.bond = 30e18;
        terms.collateral = 20e18;
        terms.bidWindow = 1 hours;
        terms.workWindow = 2 hours;
        terms.releaseWindow = 30 minutes;
        terms.commitWindow = 1 hours;
        terms.revealWindow = 40 minutes;
        terms.challengeWindow = 50 minutes;
        terms.salt = SALT;
        terms.parents = new Parent[](0);
    }

    function _termsOf(uint8 lanes) internal view returns (JobTerms memory terms) {
        terms = _terms();
        terms.lanes = lanes;
        terms.bond = uint96(lanes) * terms.bond;
    }

    function _bid(bytes32 id, uint256 i, uint96 price) internal view returns (Bid memory) {
        return Bid(id, providers[i], price, bytes32(i), uint64(vm.getBlockTimestamp() + 1 days), i);
    }

    function _sign(Bid memory bid, uint256 key) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, market.hashBid(bid));
        return abi.encodePacked(r, s, v);
    }

    function _offers(bytes32 id, uint256 lanes, uint96 price)
        internal
        view
        returns (Bid[] memory bids, bytes[] memory signatures)
    {
        (bids, signatures) = (new Bid[](lanes), new bytes[](lanes));
        for (uint256 i; i < lanes; ++i) {
            bids[i] = _bid(id, i, price);
            signatures[i] = _sign(bids[i], providerKeys[i]);
        }
    }

    /* ------------------------------------------------------- steps of a job's life */

    function _post(JobTerms memory terms) internal returns (bytes32 id) {
        id = _remember(terms);
        vm.prank(terms.requester);
        market.post(terms);
    }

    /// @dev Only who remembers a job's terms can show them (P2.1).
    function _remember(JobTerms memory terms) internal returns (bytes32 id) {
        id = market.hashTerms(terms);
        if (_terms_[id].length == 0) known.push(id);
        _terms_[id] = abi.encode(terms);
    }

    function _told(bytes32 id) internal view returns (JobTerms memory) {
        return abi.decode(_terms_[id], (JobTerms));
    }

    function _accept(JobTerms memory terms) internal returns (bytes32 id) {
        id = _post(terms);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, terms.lanes, PRICE);
        vm.prank(terms.requester);
        market.accept(terms, bids, signatures);
    }

    /// @dev All lanes submitted, seats drawn and pinned.
    function _drawn(JobTerms memory terms) internal returns (bytes32 id) {
        id = _accept(terms);
        for (uint8 lane; lane < terms.lanes; ++lane) {
            _submit(id, lane, WORD);
        }
        _pin(id);
    }

    /// @dev As `_drawn`, and all seats committed to and revealed `vote`.
    function _scored(JobTerms memory terms, bytes32 vote) internal returns (bytes32 id) {
        id = _drawn(terms);
        _commitAll(id, vote);
        _revealAll(id, vote);
    }

    function _submit(bytes32 id, uint8 lane, bytes32 word) internal {
        vm.prank(providers[lane]);
        market.submit(id, lane, word);
    }

    /// @dev `block.number` may be read once a function only: the optimizer takes it for a constant, the cheatcode does not.
    function _roll(uint256 blocks) internal {
        vm.roll(vm.getBlockNumber() + blocks);
    }

    function _pin(bytes32 id) internal {
        _roll(3);
        market.pin(id);
    }

    function _commit(bytes32 id, uint256 place, bytes32 vote) internal {
        uint8 round = market.getJob(id).round;
        uint32 seat = _seat(id, place);
        bytes32 hash = _commitment(id, round, seat, vote);
        _commitHash(id, round, place, market.getSeat(seat).hot, hash);
    }

    function _commitHash(bytes32 id, uint8 round, uint256 place, address hot, bytes32 hash) internal {
        vm.prank(hot);
        market.commit(id, place, hash);
        _noteCommit(id, round, place, hash);
    }

    /// @dev What a node reads from the events: who reveals shows the commits before and after its own.
    function _noteCommit(bytes32 id, uint8 round, uint256 place, bytes32 hash) internal {
        _links[id][round].push(Messages.link(place, hash));
        _turns[id][round][place] = _links[id][round].length;
        _voting[id] = round;
    }

    /// @dev The how-manieth to commit in the present round `place` was; from 1, zero if it did not.
    function _turnOf(bytes32 id, uint256 place) internal view returns (uint256) {
        return _turns[id][_voting[id]][place];
    }

    /// @dev The chain of commits before that of `place`, and the links after it.
    function _beside(bytes32 id, uint256 place) internal view returns (bytes32 before, bytes32[] memory later) {
        bytes32[] storage links = _links[id][_voting[id]];
        uint256 turn = _turnOf(id, place);
        for (uint256 i; i + 1 < turn; ++i) {
            before = Messages.chained(before, links[i]);
        }
        later = new bytes32[](turn == 0 ? 0 : links.length - turn);
        for (uint256 i; i < later.length; ++i) {
            later[i] = links[turn + i];
        }
    }

    function _commitAll(bytes32 id, bytes32 vote) internal {
        uint256 size = market.getRound(id, market.getJob(id).round).size;
        for (uint256 place; place < size; ++place) {
            _commit(id, place, vote);
        }
    }

    function _reveal(bytes32 id, uint256 place, bytes32 vote) internal {
        (bytes32 before, bytes32[] memory later) = _beside(id, place);
        market.reveal(id, place, vote, _evidence(vote), SALT, before, later);
    }

    /// @dev The call that opens a commit.
    function _revealOf(bytes32 id, uint256 place, bytes32 vote) internal view returns (bytes memory) {
        (bytes32 before, bytes32[] memory later) = _beside(id, place);
        return abi.encodeCall(market.reveal, (id, place, vote, _evidence(vote), SALT, before, later));
    }

    function _revealAll(bytes32 id, bytes32 vote) internal {
        uint256 size = market.getRound(id, market.getJob(id).round).size;
        for (uint256 place; place < size; ++place) {
            _reveal(id, place, vote);
        }
    }

    function _settle(JobTerms memory terms) internal {
        skip(terms.challengeWindow);
        market.settle(terms);
    }

    /* ------------------------------------------------------------------- facts */

    function _commitment(bytes32 id, uint8 round, uint32 seat, bytes32 vote) internal view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(market), id, round, seat, vote, _evidence(vote), SALT));
    }

    function _evidence(bytes32 vote) internal pure returns (bytes32) {
        return keccak256(abi.encode("evidence", vote));
    }

    function _seat(bytes32 id, uint256 place) internal view returns (uint32) {
        return market.getRound(id, market.getJob(id).round).seats[place];
    }

    function _hotAt(bytes32 id, uint256 place) internal view returns (address) {
        return market.getSeat(_seat(id, place)).hot;
    }

    /// @dev What the job holds.
    function _held(bytes32 id) internal view returns (uint256) {
        return market.heldFor(_told(id));
    }

    /// @dev What all jobs and seats hold (P1.4).
    function _locked() internal view returns (uint256 sum) {
        for (uint256 i; i < known.length; ++i) {
            sum += _held(known[i]);
        }
        for (uint32 seat; seat < market.seatCount(); ++seat) {
            sum += market.getSeat(seat).stake;
        }
    }

    function _state(bytes32 id) internal view returns (State) {
        return market.getJob(id).state;
    }

    /// @dev One lane's value as a vote word.
    function _vote(uint32 value) internal pure returns (bytes32) {
        return Votes.withLane(0, 0, value);
    }

    /// @dev Bigger committees want more live seats (P2.2). They count from the next block on.
    function _moreSeats(uint256 count) internal {
        address owner = makeAddr("more seats");
        _fund(owner, count * STAKE);
        vm.prank(owner);
        market.stake(count, makeAddr("more hot"), 0);
        _roll(1);
    }

    /// @dev The seats from `first` on and before `beyond` leave.
    function _leave(uint32 first, uint32 beyond) internal {
        for (uint32 seat = first; seat < beyond; ++seat) {
            vm.prank(market.getSeat(seat).cold);
            market.exit(seat);
        }
    }

    function _owner(uint256 i) internal pure returns (address) {
        return address(uint160(0xC01D0000 + i));
    }

    function _hot(uint256 i) internal pure returns (address) {
        return address(uint160(0x40700000 + i));
    }

    function _fund(address account, uint256 amount) internal {
        token.transfer(account, amount);
        vm.startPrank(account);
        token.approve(address(market), amount);
        market.deposit(amount);
        vm.stopPrank();
    }
}
